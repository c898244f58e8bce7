package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

var gossipSubOptions = fmt.Sprintf("GossipSub over QUIC, StrictSign (signs while it publishes), all queues %d, at most %d under way", queue, queue/2)

// gossipSub is peers that all have connections with each other and subscribe to one topic.
type gossipSub struct {
	ctx    context.Context
	cancel context.CancelFunc
	hosts  []host.Host
	topics []*pubsub.Topic
	subs   []*pubsub.Subscription
}

func newGossipSub(ctx context.Context, n int) (g *gossipSub, err error) {
	g = &gossipSub{}
	g.ctx, g.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	for range n {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/udp/0/quic-v1"), libp2p.DisableRelay(), libp2p.ResourceManager(&network.NullResourceManager{}))
		if err != nil {
			return g, err
		}
		g.hosts = append(g.hosts, h)
		ps, err := pubsub.NewGossipSub(g.ctx, h, pubsub.WithMessageSignaturePolicy(pubsub.StrictSign), pubsub.WithPeerOutboundQueueSize(queue),
			pubsub.WithValidateQueueSize(queue))
		if err != nil {
			return g, err
		}
		t, err := ps.Join("bench")
		if err != nil {
			return g, err
		}
		s, err := t.Subscribe(pubsub.WithBufferSize(queue))
		if err != nil {
			return g, err
		}
		g.topics, g.subs = append(g.topics, t), append(g.subs, s)
	}
	for i, h := range g.hosts {
		for _, other := range g.hosts[:i] {
			if err := h.Connect(g.ctx, peer.AddrInfo{ID: other.ID(), Addrs: other.Addrs()}); err != nil {
				return g, err
			}
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		missing := 0
		for _, t := range g.topics {
			missing += n - 1 - len(t.ListPeers())
		}
		switch {
		case missing == 0:
			time.Sleep(2500 * time.Millisecond) // two heartbeats: the mesh is grafted
			// The publisher reads its own messages too.
			go g.receive(0, func([]byte) {})
			return g, nil
		case time.Now().After(deadline):
			return g, errors.New("GossipSub's peers do not see each other")
		}
	}
}

// receive hands each message on until stop.
func (g *gossipSub) receive(i int, each func([]byte)) {
	for {
		m, err := g.subs[i].Next(g.ctx)
		if err != nil {
			return
		}
		each(m.Data)
	}
}

func (g *gossipSub) stop() {
	g.cancel()
	for _, h := range g.hosts {
		h.Close()
	}
}
