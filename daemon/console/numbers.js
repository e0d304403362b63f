// Amounts and dates as people read them.

/** "3,120". */
export function amount(value) {
  return Math.round(value).toLocaleString();
}

/** "1 message", "3,120 messages". */
export function count_of(value, what) {
  return `${amount(value)} ${what}${value === 1 ? '' : 's'}`;
}

/** Seconds of talk: "58 s", "4 min 12 s", "3 h 20 min", "210 h". */
export function talk_time(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 100 && minutes % 60 ? `${hours} h ${minutes % 60} min` : `${amount(hours)} h`;
}

/** "3 Mar 2026", in the reader's own zone. */
export function short_date(date) {
  return date.toLocaleDateString(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
}

/** "in 20 min", "in 3 h", "in 2 d", "now"; behind us: "3 h late". */
export function ahead(date, now) {
  const minutes = Math.round((date - now) / 60_000);
  const size = Math.abs(minutes);
  if (size < 1) return 'now';
  const span = size < 60 ? `${size} min` : size < 48 * 60 ? `${Math.floor(size / 60)} h` : `${Math.floor(size / 1440)} d`;
  return minutes > 0 ? `in ${span}` : `${span} late`;
}
