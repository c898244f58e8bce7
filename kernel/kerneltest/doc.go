// Package kerneltest is what tests of the kernel and of apps share: doubles of what the kernel is given (oracles, rankers) and
// simulated surroundings. It is not for production, and it knows no app.
package kerneltest
