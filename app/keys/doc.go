// Package keys is the app through which a space follows its members' key event logs: who was given a new key in charge by rotation or recovery keeps
// membership, balances and open matters, on the device that the log names.
//
// A member's node whose log has been rotated or recovered publishes it (kind "log"), as does a new device that nobody in the space knows yet: its feed's
// auth shows whose it is. The registrar's node checks the log, writes what the space follows from then on (kind "follow"), and moves the member as
// `member.device` does, by cuts. Which device that is only the newest rotation or recovery decides: the primary one at that event. A change of devices
// after it, which whoever has stolen the key in charge can write as well, moves nobody; nor does another branch once one has been followed.
//
// A recovery by guardians waits. The registrar writes that it has begun (kind "start") when the witnesses hold the log final, and follows it only when
// witnesses' clocks say that the delay has passed, which the guardians were named with: no local clock decides, and f lying witnesses cannot hurry it.
// Meanwhile the key in charge before can object (kind "veto", which the registrar confirms by "stop"), and a rotation with the recovery phrase, once
// followed, leaves it behind.
//
// All of it stands in the topic "keys". What is written there is checked alike on every node; docs/protocol.md, 4.11, has the rules.
package keys
