/** "14:05" in that zone. */
export function clock(date: Date, timeZone: string): string {
  return date.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', timeZone })
}

/** "Thursday 5 March" in that zone. */
export function day(date: Date, timeZone: string): string {
  return date.toLocaleDateString(undefined, { weekday: 'long', day: 'numeric', month: 'long', timeZone })
}

/** "00:03:20", as Postgres writes an interval, as "3 min 20 s". */
export function span(interval: string): string {
  const [, hours, minutes, seconds] = /^(\d+):(\d\d):(\d\d)/.exec(interval) ?? []
  if (hours === undefined) return interval
  const parts = [[Number(hours), 'h'], [Number(minutes), 'min'], [Number(seconds), 's']] as const
  return parts.filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}`).join(' ') || '0 s'
}
