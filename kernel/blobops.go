package kernel

import (
	"context"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/blob"
)

// BlobPutIn brings a blob.
type BlobPutIn struct {
	Space api.Hash `json:"space,omitzero" doc:"of the record that is to name it; default: the only one this node follows"`
	Data  []byte   `json:"data" doc:"its bytes in base64, at most 1 MiB of them"`
	Raw   bool     `json:"raw,omitempty" doc:"keep what an image has beside the picture, such as where it was taken"`
}

// BlobPutOut says what it is called.
type BlobPutOut struct {
	Blob    api.Hash `json:"blob" doc:"BLAKE3 digest of the bytes that are kept"`
	Size    int      `json:"size"`
	Type    string   `json:"type" doc:"image/jpeg, image/png, image/webp or application/octet-stream"`
	Removed int      `json:"removed,omitempty" doc:"bytes that were taken out of an image: place, time, camera, comments, previews"`
}

// BlobGetIn names a blob.
type BlobGetIn struct {
	Space api.Hash `json:"space,omitzero" doc:"of a record that names it; default: the only one this node follows"`
	Blob  api.Hash `json:"blob" doc:"its hash"`
}

// BlobGetOut is a blob.
type BlobGetOut struct {
	Blob api.Hash `json:"blob"`
	Type string   `json:"type" doc:"image/jpeg, image/png, image/webp or application/octet-stream"`
	Data []byte   `json:"data" doc:"its bytes in base64"`
}

var _ api.Content = (*BlobGetOut)(nil)

// Content implements api.Content: images are shown in place, everything else is to be saved.
func (o *BlobGetOut) Content() (mediaType, name string, body []byte) {
	switch o.Type {
	case blob.JPEG, blob.PNG, blob.WebP:
	default:
		name = o.Blob.Short()
	}
	return o.Type, name, o.Data
}

func (k *Kernel) blobOperations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "blob.put", Method: "POST", Path: "/blobs", CLI: "blob put", Scope: "blob:write", Write: true,
			Summary: "Keep an image or other bytes that a record is to name, without what a camera wrote beside the picture",
		}, k.opBlobPut),
		api.Handle(api.Operation{
			Name: "blob.get", Method: "GET", Path: "/blobs/{blob}", CLI: "blob get", Scope: "blob:read",
			Summary: "Get a blob that a record of a space names, or that you have brought",
		}, k.opBlobGet),
	}
}

func (k *Kernel) opBlobPut(_ context.Context, call *api.Call, in *BlobPutIn) (*BlobPutOut, error) {
	if _, err := k.space(in.Space); err != nil {
		return nil, api.Wrap("blob.put", err)
	}
	if n := len(in.Data); n == 0 || n > 2*blob.MaxSize {
		return nil, api.Errorf("blob.put", api.TooLarge, "data of %d bytes: want 1 to %d", n, blob.MaxSize)
	}
	data := in.Data
	if !in.Raw {
		var err error
		if data, err = blob.Clean(data); err != nil {
			return nil, err
		}
	}
	h, err := k.blobs.store.Put(data, call.Actor, k.opt.Now())
	if err != nil {
		return nil, err
	}
	return &BlobPutOut{Blob: h, Size: len(data), Type: blob.Type(data), Removed: max(0, len(in.Data)-len(data))}, nil
}

func (k *Kernel) opBlobGet(_ context.Context, call *api.Call, in *BlobGetIn) (*BlobGetOut, error) {
	space, err := k.space(in.Space)
	if err != nil {
		return nil, api.Wrap("blob.get", err)
	}
	i, ok := k.blobs.store.Stat(in.Blob)
	switch named := k.blobs.names(space, in.Blob); {
	case !named && (!ok || i.Owner != call.Actor || call.Actor == ""):
		return nil, api.Errorf("blob.get", api.NotFound, "blob %s: no record of the space names it", in.Blob.Short())
	case !ok:
		return nil, api.Errorf("blob.get", api.NotFound, "blob %s: not on this node yet; it is fetched from nodes that have it", in.Blob.Short())
	}
	b, err := k.blobs.store.Get(in.Blob)
	if err != nil {
		return nil, err
	}
	return &BlobGetOut{Blob: in.Blob, Type: blob.Type(b), Data: b}, nil
}
