// Randomness that a seed repeats. Times do not repeat, choices do.

export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  /** From 0 to less than 1 (mulberry32). */
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  chance(p) {
    return this.next() < p;
  }

  one(list) {
    return list[Math.floor(this.next() * list.length)];
  }

  /** One key of {key: weight}. */
  weighted(weights) {
    const entries = Object.entries(weights);
    let at = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) {
      at -= weight;
      if (at < 0) return key;
    }
    return entries.at(-1)[0];
  }

  /** A stream of its own, so that one loop's pace does not change another's choices. */
  fork() {
    return new Random(Math.floor(this.next() * 2 ** 32));
  }
}
