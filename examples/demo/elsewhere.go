package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/intercooperative/icn/client"
)

// signUp has somebody without a node join by an invitation, through the gateway of one.
func (d *demo) signUp(registrar, host *node) error {
	out, err := registrar.ctl(d.ctx, "space", "invite", "--uses", "1", "--expires-hours", "1")
	if err != nil {
		return err
	}
	if d.dora, err = newGuest("Dora", host.url); err != nil {
		return err
	}
	who := d.dora.signer
	if err := d.dora.login(d.ctx, "record:write", "space:join"); err != nil {
		return err
	}
	sentence := fmt.Sprintf("Ask to be admitted as %s with the device %s, by an invitation.", who.DID(), who.Device())
	err = d.until(func() error { // the invitation has to reach the host's node, too
		_, err := d.dora.write(d.ctx, d.space, "space.join", map[string]string{"invitation": strings.TrimSpace(string(out))}, sentence)
		return err
	})
	if err != nil {
		return err
	}
	d.screen.note("Dora is %s, and her key is known to nobody else", who.DID())
	return d.until(func() error { return d.dora.login(d.ctx) })
}

// payElsewhere has Dora pay with her own key, and wants her node to have no other way.
func (d *demo) payElsewhere(to *node) error {
	payment := &client.LedgerTransferIn{Space: d.space, To: to.member, Currency: "hours", Amount: 200, Memo: "a bicycle tour"}
	if _, err := send[client.LedgerTransferOut](d.ctx, d.dora, "ledger/transfer", payment); !refusedBy(err, "key-elsewhere") {
		return cmp.Or(err, errors.New("the node has paid without Dora's key"))
	}
	sentence := fmt.Sprintf("Pay %d minor units of %s to %s for %q.", payment.Amount, payment.Currency, payment.To, payment.Memo)
	receipt, err := d.dora.write(d.ctx, d.space, "ledger.transfer", payment, sentence)
	if err != nil {
		return err
	}
	d.screen.note("signed: %s", sentence)
	d.screen.note("record %s", receipt.Position.ID)
	return errors.Join(d.await(to, 25), d.agree())
}
