package importer

import (
	"maps"
	"slices"
)

// presets are the forms in which other systems export. Komunitin's and TimeOverflow's columns are those of their own programs (komunitin
// accounting/src/server/csv-mappers.ts, timeoverflow app/decorators/report/), whose headers are in the language of who exports; those of CES and hOurworld,
// which are not published, are the usual ones: a file that differs says so in a mapping of its own.
func presets() map[string]*Mapping {
	return map[string]*Mapping{
		"komunitin-transfers": {
			Source: "komunitin", Kind: Transfers,
			Columns: map[string]Names{
				fieldFrom: {"payer.code"}, fieldTo: {"payee.code"}, fieldAmount: {"amount"}, fieldDate: {"created"}, fieldMemo: {"description"}, fieldID: {"id"}, fieldState: {"state"},
			},
			Keep: map[string][]string{fieldState: {"committed"}},
		},
		"komunitin-accounts": {
			Source: "komunitin", Kind: Balances,
			Columns: map[string]Names{fieldAccount: {"code"}, fieldAmount: {"balance"}},
		},
		"ces-transactions": {
			Source: "ces", Kind: Transfers, Date: "DD/MM/YYYY",
			Columns: map[string]Names{
				fieldFrom: {"Buyer", "Buyer Account", "Buyer No"}, fieldTo: {"Seller", "Seller Account", "Seller No"}, fieldAmount: {"Amount"}, fieldDate: {"Date", "Trade Date"},
				fieldMemo: {"Description"}, fieldCategory: {"Category"}, fieldID: {"ID", "Transaction ID", "Trans ID"},
			},
		},
		"ces-balances": {
			Source: "ces", Kind: Balances, Date: "DD/MM/YYYY",
			Columns: map[string]Names{fieldAccount: {"Account", "Account No", "Account Number"}, fieldAmount: {"Balance"}},
		},
		"timeoverflow-transfers": {
			Source: "timeoverflow", Kind: Transfers, Unit: Clock,
			Columns: map[string]Names{
				fieldFrom: {"From", "De", "Origen"}, fieldTo: {"To", "A", "Para", "Destí"}, fieldAmount: {"Quantity", "Hours", "Cantidad", "Quantitat", "Horas", "Hores"},
				fieldDate: {"Date", "Fecha", "Data"}, fieldMemo: {"Post", "Service", "Offer", "Servicio", "Oferta", "Servei"},
			},
		},
		"timeoverflow-members": {
			Source: "timeoverflow", Kind: Balances, Unit: Seconds,
			Columns: map[string]Names{fieldAccount: {"N"}, fieldAmount: {"Balance", "Saldo"}},
		},
		"hourworld-transactions": {
			Source: "hourworld", Kind: Transfers, Date: "MM/DD/YYYY",
			Columns: map[string]Names{
				fieldFrom: {"Receiver", "Received By", "Recipient"}, fieldTo: {"Provider", "Provided By"}, fieldAmount: {"Hours", "TimeDollars"}, fieldDate: {"Date", "Transaction Date"},
				fieldMemo: {"Service", "Description", "Comment"}, fieldCategory: {"Category", "Service Category"}, fieldID: {"TransID", "Transaction ID"},
			},
		},
		"hourworld-members": {
			Source: "hourworld", Kind: Balances, Date: "MM/DD/YYYY",
			Columns: map[string]Names{fieldAccount: {"Member", "Member ID", "Name"}, fieldAmount: {"Balance", "Hours Balance"}},
		},
	}
}

// Presets lists the names of the presets, in order.
func Presets() []string { return slices.Sorted(maps.Keys(presets())) }

// Preset returns a preset, complete.
func Preset(name string) (*Mapping, bool) {
	m, ok := presets()[name]
	if !ok {
		return nil, false
	}
	return defaults.with(m), true
}
