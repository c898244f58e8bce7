package kernel

import (
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
)

// metaWriter starts the names of the values that say whose device keys write in this store: writer/<device>. An archive does not have them.
const metaWriter = "writer/"

// admitWriter ties the device key to the store. A device numbers its records; one that has written in a store and goes on in another, which lacks some
// of them, uses numbers again, and its feeds are forked for everybody. So a key that may have been used starts only on a store that knows it: the one
// it wrote in, also under another node that takes a database over. An Identity that cannot say whether it was used is believed to know what it does.
func (k *Kernel) admitWriter() error {
	id, ok := k.opt.Identity.(interface{ Used() bool })
	if !ok {
		return nil
	}
	device := k.opt.Identity.Signer().Device()
	_, known, err := fold.Meta(k.st, metaWriter+device.String())
	if err != nil || known {
		return err
	}
	if id.Used() && !k.opt.AnyStore {
		before, err := k.wroteHere(device)
		if err != nil {
			return err
		}
		if !before {
			return api.Errorf("kernel.new", api.Invalid, "device key %s may have signed records elsewhere, and this store knows nothing of it: to sign on here would "+
				"number records twice, and fork its feeds for everybody. Use the store it wrote in; if that is lost, be the same member on a new device: "+
				"icnctl id restore, with the recovery phrase, or icnctl id recover, with guardians. Only if the key has never signed anything, "+
				"--adopt-store starts it here", device)
		}
	}
	return k.setMeta(metaWriter+device.String(), nil, true)
}

// wroteHere reports whether the store is of a version that did not tie keys to stores, and has records of the device.
func (k *Kernel) wroteHere(device api.Key) (bool, error) {
	tied := false
	for _, prefix := range []string{metaWriter, metaRetired} {
		err := fold.Metas(k.st, prefix, func(string, []byte) bool {
			tied = true
			return false
		})
		if err != nil || tied {
			return false, err
		}
	}
	r := k.reader("", k.log)
	defer r.Close()
	for _, space := range k.follows.list() {
		for _, h := range r.Heads(api.Topic{Space: space}) {
			if h.Device == device {
				return true, nil
			}
		}
	}
	return false, nil
}
