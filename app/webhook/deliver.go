package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Serve implements api.Runner: it delivers to all hooks, to each in order and one at a time, to so many at once.
func (a *App) Serve(ctx context.Context, host api.Host) error {
	if a.local == nil {
		<-ctx.Done()
		return nil
	}
	defer a.client.CloseIdleConnections()
	var work sync.WaitGroup
	defer work.Wait()
	slots := make(chan struct{}, atOnce)
	for {
		h, wait := a.due(host.Now())
		if h != nil {
			select {
			case slots <- struct{}{}:
				work.Go(func() {
					a.turn(ctx, h)
					<-slots
					a.wake()
				})
			case <-ctx.Done():
				a.release(h)
				return nil
			}
			continue
		}
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-a.kick:
			pause.Stop()
		case <-pause.C:
		}
	}
}

// due takes a hook that has something to do, or says for how long none has.
func (a *App) due(now time.Time) (*hook, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	wait := longestWait
	for _, h := range a.hooks {
		if h.busy || h.Disabled != "" || !h.news {
			continue
		}
		if left := h.Next.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		h.busy = true
		return h, 0
	}
	return nil, wait
}

func (a *App) release(h *hook) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h.busy = false
}

// turn delivers the next events of a hook.
func (a *App) turn(ctx context.Context, h *hook) {
	defer a.release(h)
	a.mu.Lock()
	host, after, lost := a.host, h.Cursor, h.Lost
	h.news = false // what comes from now on sets it again
	a.mu.Unlock()
	if !a.may(host, h.Owner, h.Space) {
		a.disable(h, noLonger)
		return
	}
	var evs []*api.Event
	next := after
	var err error
	if !lost {
		scopes := map[string]string{}
		for _, t := range host.EventTypes() {
			scopes[t.Name] = t.Scope
		}
		evs, next, err = host.Events(after, perTurn, h.wants(scopes))
	}
	if lost || api.KindOf(err) == api.Conflict {
		if evs, next, err = a.reset(h); err == nil {
			a.update(h, func() { h.Lost = true })
		}
	}
	if err != nil {
		host.Log().Warn("events cannot be read", "hook", h.ID, "err", err)
		a.update(h, func() { h.news, h.Next = true, host.Now().Add(firstRetry) })
		return
	}
	for _, e := range evs {
		if !a.may(host, h.Owner, h.Space) { // since the last one
			a.disable(h, noLonger)
			return
		}
		if ctx.Err() != nil || !a.deliver(ctx, h, e) {
			a.update(h, func() { h.news = true })
			return
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	h.news, h.Cursor = h.news || next != after, next
	if len(evs) > 0 || host.Now().Sub(h.saved) >= passEvery { // what was passed over may be looked at again after a restart
		a.write(h)
	}
}

// noLonger is why a hook ends whose owner was removed.
const noLonger = "its owner may not follow the space any more"

// passEvery is how often a hook's cursor is written down that passes over events which the hook does not want.
const passEvery = time.Minute

// update changes a hook's progress and writes it down.
func (a *App) update(h *hook, change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	a.write(h)
}

// write keeps a hook's progress, or logs that it cannot be kept. The caller holds mu.
func (a *App) write(h *hook) {
	if err := a.keep(h); err != nil {
		a.host.Log().Warn("a hook's progress cannot be kept; what was delivered comes again", "hook", h.ID, "err", err)
	}
}

// reset makes the event that tells the receiver that it has missed something, and the cursor to go on from.
func (a *App) reset(h *hook) ([]*api.Event, string, error) {
	_, next, err := a.host.Events("", 0, nil)
	if err != nil {
		return nil, "", err
	}
	data := []byte(`{"text":"the cursor of this hook does not go on at this node, whose store was restored or whose state was rebuilt: read anew what you keep; what happens from now on follows"}`)
	return []*api.Event{{Cursor: next, Type: evReset, Space: h.Space, Time: a.host.Now().UTC(), Data: data}}, next, nil
}

// deliver makes one attempt and reports whether it was taken.
func (a *App) deliver(ctx context.Context, h *hook, e *api.Event) bool {
	try := a.post(ctx, h, e)
	if ctx.Err() != nil { // the node stops: that is nobody's failure
		return false
	}
	now := a.host.Now()
	why := ""
	a.mu.Lock()
	h.note(try)
	switch {
	case good(try.Status):
		h.Cursor, h.Fails, h.Since, h.Next, h.Lost = e.Cursor, 0, time.Time{}, time.Time{}, false
	default:
		if h.Fails++; h.Fails == 1 {
			h.Since = now
		}
		h.Next = now.Add(max(backoff(h.Fails, rand.Float64()), try.after))
		switch {
		case try.Status == http.StatusGone:
			why = "its receiver says that it is gone (410)"
		case now.Sub(h.Since) >= giveUpAfter:
			why = fmt.Sprintf("its receiver has failed for %s: %s", now.Sub(h.Since).Round(time.Hour), try.what())
		}
	}
	a.write(h)
	a.mu.Unlock()
	if why != "" {
		a.disable(h, why)
	}
	return good(try.Status)
}

func good(status int) bool { return status >= 200 && status < 300 }

func (t *Try) what() string {
	if t.Error != "" {
		return t.Error
	}
	return "status " + strconv.Itoa(t.Status)
}

// backoff is how long to wait after so many failures in a row: twice as long each time, up to an hour, and by chance (0 to 1) a quarter more or less, so
// that hooks which failed together do not come back together.
func backoff(fails int, chance float64) time.Duration {
	d := longestWait
	if fails < 16 {
		d = min(firstRetry<<(fails-1), longestWait)
	}
	return time.Duration(float64(d) * (0.75 + chance/2))
}

// disable switches a hook off, tells its owner, and remembers why.
func (a *App) disable(h *hook, why string) {
	a.mu.Lock()
	h.Disabled = why
	err := a.keep(h)
	a.mu.Unlock()
	a.host.Log().Warn("a webhook was switched off", "hook", h.ID, "owner", h.Owner, "why", why, "err", err)
	a.host.Notify(evDisabled, h.Space, h.Owner, &Switched{Hook: h.ID, Why: why})
}

// post sends one event.
func (a *App) post(ctx context.Context, h *hook, e *api.Event) (t Try) {
	start := a.host.Now()
	t = Try{At: start.UTC(), Event: e.Cursor, Type: e.Type}
	defer func() { t.Millis = a.host.Now().Sub(start).Milliseconds() }()
	body, err := json.Marshal(e)
	if err != nil {
		t.Error = err.Error()
		return t
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		t.Error = err.Error()
		return t
	}
	id := "evt-" + h.ID + "-" + strings.ReplaceAll(e.Cursor, ".", "-")
	at := strconv.FormatInt(start.Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "icn-webhook")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", at)
	req.Header.Set("Webhook-Signature", sign(h.Secret, id, at, body))
	resp, err := a.client.Do(req)
	if err != nil {
		t.Error = plain(err)
		return t
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // the status is the answer
	t.Status = resp.StatusCode
	t.after = retryAfter(resp.Header.Get("Retry-After"), start)
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		t.Error = "redirects are not followed: give the hook the address that it leads to"
	}
	return t
}

// retryAfter reads when the receiver wants to be asked again, in seconds or as a date (RFC 9110, 10.2.3): longestWait at most, so that nobody who answers once
// is left alone for good, and 0 when it says nothing that can be read.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 63); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, uint64(longestWait/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), longestWait)
}

// plain is an error without the URL, which may hold a token, and without what the receiver's network looks like from here.
func plain(err error) string {
	var no refused
	var timed interface{ Timeout() bool }
	switch {
	case errors.As(err, &no):
		return "the address is not a public one"
	case errors.As(err, &timed) && timed.Timeout():
		return "no answer in time"
	}
	return "no connection"
}

// sign is the header of a request: standardwebhooks.com, version 1.
func sign(secret []byte, id, at string, body []byte) string {
	m := hmac.New(sha256.New, secret)
	fmt.Fprintf(m, "%s.%s.", id, at)
	m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}
