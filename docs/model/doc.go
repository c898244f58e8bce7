// Package model holds a model of finality, in Promela, and the test that has Spin search it. It is no part of the program and nothing
// may import it; README.md says what is modelled, what is left out, and what was found.
package model
