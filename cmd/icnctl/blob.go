package main

import (
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

// maxBlob bounds what is read of a file, in bytes: a little more than a node takes, so that it can say so.
const maxBlob = 2 << 20

func (c *ctl) blobCmd() *cobra.Command {
	return group("blob", "Images and other files that records name", c.blobPut(), c.blobGet())
}

func (c *ctl) blobPut() *cobra.Command {
	var in client.BlobPutIn
	cmd := &cobra.Command{
		Use: "put FILE", Short: "Keep an image or another file that a record is to name", Args: cobra.ExactArgs(1),
		Long: "Keeps a file of at most 1 MiB under its hash. What a camera wrote beside the picture, where it was taken, when and with what, is taken out of JPEG, PNG and WebP\n" +
			"images by your own node, before anybody else sees them. What no record names within a day is forgotten.",
	}
	space := spaceFlag(cmd)
	cmd.Flags().BoolVar(&in.Raw, "raw", false, "keep what the camera wrote")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Data, err = readBlob(args[0]); err != nil {
			return err
		}
		return write(c, cmd, "blob.put", in, func(o *client.BlobPutOut) {
			c.facts("blob", o.Blob.String(), "type", o.Type)
			if o.Removed > 0 {
				c.note("%d bytes beside the picture were taken out.", o.Removed)
			}
		})
	}
	return cmd
}

func readBlob(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, api.Errorf("blob.put", api.Invalid, "%w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxBlob+1))
	if err != nil {
		return nil, api.Errorf("blob.put", api.Invalid, "%w", err)
	}
	if len(b) == 0 || len(b) > maxBlob {
		return nil, api.Errorf("blob.put", api.TooLarge, "%s: want 1 byte to 1 MiB; make an image smaller first", name)
	}
	return b, nil
}

// images brings files to the node and returns their hashes.
func (c *ctl) images(cmd *cobra.Command, space api.Hash, files []string) ([]api.Hash, error) {
	var hs []api.Hash
	for _, name := range files {
		b, err := readBlob(name)
		if err != nil {
			return nil, err
		}
		ctx, cancel := c.context(cmd)
		_, o, err := ask[client.BlobPutOut](ctx, c, "blob.put", client.BlobPutIn{Space: space, Data: b})
		cancel()
		if err != nil {
			return nil, err
		}
		hs = append(hs, o.Blob)
	}
	return hs, nil
}

func (c *ctl) blobGet() *cobra.Command {
	cmd := &cobra.Command{Use: "get BLOB FILE", Short: "Save a blob that a record names", Args: cobra.ExactArgs(2)}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		var in client.BlobGetIn
		if in.Space, in.Blob, err = spaceAnd(*space, args[0]); err != nil {
			return err
		}
		var failed error
		err = read(c, cmd, "blob.get", in, func(o *client.BlobGetOut) {
			if failed = os.WriteFile(args[1], o.Data, 0o600); failed == nil {
				c.facts("type", o.Type, "bytes", strconv.Itoa(len(o.Data)))
			}
		})
		if err == nil && failed != nil {
			err = api.Errorf("blob.get", api.Invalid, "%w", failed)
		}
		return err
	}
	return cmd
}
