// Package ledger is the app that keeps mutual-credit accounts: who paid whom, how far everybody may go below zero, and why.
//
// An account is a DID in a space and currency. It has one spending feed: that of the device which the member's admission names. A transfer is one
// record in that feed and is both the debit of its author and the credit of its recipient, so the balances of a currency sum to zero by
// construction. The topic is "ledger"; the kinds are transfer, grant (by the clerk: a new limit), ack (nothing but acknowledgements), and allot and return:
// what the spending feed's device, the primary one, sets aside for another device of the member, which then spends that from its own feed, alone.
//
// Whether a debit is good depends only on what its feed has cited (records.md):
//
//	credits counted - debits - set aside + min(credits cited that are not final, p) - amount >= -limit
//
// A credit counts once the recipient's feed acknowledges it: any of its records cites the payer's feed at a position together with a witness's
// feed whose newest statement for the payer is exactly that position; then everything the payer has paid by then counts. The limit is the newest grant
// that the feed has cited, else the currency's default. So nothing that others do or withhold can turn a good debit bad, and who forks a feed harms
// nobody: effects beyond the fork are withdrawn, and nobody counted them who waited for finality.
//
// It is not the place that knows members or finality; both come as facts (package fact). It trusts the registrar to name one device per DID.
//
// Invariants: per space and currency the balances sum to zero; an accepted debit was within limit plus p; a balance is the sum of its history.
package ledger
