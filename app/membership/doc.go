// Package membership is the app that founds spaces and says who is a member.
//
// A space begins with its genesis, a record that names founders, witnesses, offices and currencies; the space's id is that record's id. From
// then on one feed, the registrar's, admits: it writes invitations (a throw-away key, good for some uses until some time) and admissions. Who
// holds an invitation's key signs "I join this space with this device" with it; that join record and, by the registrar's node, the admission
// that cites it are all there is to joining.
//
// A member is a DID together with the one device that acts and spends for it. What others may rely on are the facts of package fact that the
// genesis and the admissions publish; the topics are "space" (genesis, invite, admit) and "join" (join).
//
// It does not decide what members may do (other apps do), and it moves no record: the kernel asks its oracle, domain "membership", whether a
// peer may follow a space.
//
// Invariants: a DID is admitted once; admissions are numbered without gaps; an invitation is used at most as often as it says. Expiry is
// kept by the registrar's node with its own clock; it is no part of a verdict.
package membership
