// Package market is the app of offers and wants: what members of a space offer each other and look for, found offline by words, category and distance.
//
// An ad is a record by which a member offers something or asks for it, until a day; later records of the same member edit or withdraw it. Any member can
// report an ad, with a reason, and the space's registrar or clerk can hide it and show it again: whoever acts second on what another has settled names that
// act, so that no ad is hidden twice over one matter. The topic is "market"; the kinds are post, edit, withdraw, report, hide and unhide.
//
// What counts is decided by Apply from what a record cites alone. Everything else is display: an ad whose day is past is not void, it is not shown; an ad
// of somebody who is no member any more is not shown either; of two moderators who acted at once, without knowing of each other, one act counts, the same
// on every node (see settled).
//
// For queries the ads of a space are kept in memory: a few hundred bytes each, and an inverted index of their words (index). It is made from the rows of
// the feeds, again and again, never from the records, so that forks and cuts need no care here (shelf). The texts stay on disk.
//
// Places are rounded before they are signed, to a grid whose width the author chooses: the record says where about, and how coarse that is.
package market
