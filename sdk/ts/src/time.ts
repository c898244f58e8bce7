/** Integers of 64 bits, which numbers hold exactly up to 2^53 only, and the clock that records carry in one. */

/** An integer of 64 bits without sign: a number while that is exact, else a bigint. */
export type UInt64 = number | bigint

/**
 * A hybrid logical clock: Unix milliseconds in the upper 48 bits, a counter in the lower 16. Any since 1974 is over 2^53 and comes as a bigint, so that
 * it is exact and can be compared; dateOf makes a Date of it.
 */
export type Timestamp = UInt64

/** Unix milliseconds of a time. */
export function millis(time: Timestamp): number {
  return Number(BigInt(time) >> 16n)
}

/** When that was, to the millisecond. */
export function dateOf(time: Timestamp): Date {
  return new Date(millis(time))
}
