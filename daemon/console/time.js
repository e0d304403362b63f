// Times as people read them. The zone is always named by the caller; an unknown one is UTC.

const formats = new Map();

function format(zone, key, options) {
  const name = `${zone}|${key}`;
  if (!formats.has(name)) {
    let made;
    try {
      made = new Intl.DateTimeFormat(undefined, { ...options, timeZone: zone });
    } catch {
      made = new Intl.DateTimeFormat(undefined, { ...options, timeZone: 'UTC' });
    }
    formats.set(name, made);
  }
  return formats.get(name);
}

/** Date of ISO text, or of epoch seconds or milliseconds; null for anything else. */
export function to_date(value) {
  if (typeof value === 'number') value = value < 1e11 ? value * 1000 : value;
  else if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\d/.test(value)) return null;
  // Without an offset the text is UTC: so does Postgres write what it stores.
  if (typeof value === 'string' && /\d:\d\d/.test(value) && !/(Z|[+-]\d\d(:?\d\d)?)$/i.test(value)) value += 'Z';
  if (typeof value === 'string') value = value.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00');
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? null : date;
}

/** "14:05" in that zone. */
export function clock(date, zone) {
  return format(zone, 'clock', { hour: '2-digit', minute: '2-digit' }).format(date);
}

/** The full date and time, for tooltips. */
export function long_time(date, zone) {
  return format(zone, 'long', { dateStyle: 'full', timeStyle: 'long' }).format(date);
}

/** A key that two moments share when they are on one day in that zone. */
export function day_key(date, zone) {
  return format(zone, 'key', { year: 'numeric', month: 'numeric', day: 'numeric' }).format(date);
}

/** "Today", "Yesterday", else the date; `now` decides. */
export function day_name(date, zone, now) {
  const key = day_key(date, zone);
  if (key === day_key(now, zone)) return 'Today';
  if (key === day_key(new Date(now.getTime() - 86_400_000), zone)) return 'Yesterday';
  const near = Math.abs(now - date) < 300 * 86_400_000;
  const options = { weekday: 'long', day: 'numeric', month: 'long', ...(near ? {} : { year: 'numeric' }) };
  return format(zone, near ? 'near' : 'far', options).format(date);
}

/** "now", "5 min", "3 h", "2 d", then the date: how long ago, in few letters. */
export function ago(date, now) {
  const seconds = (now - date) / 1000;
  if (seconds < 60) return 'now';
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  if (seconds < 7 * 86_400) return `${Math.floor(seconds / 86_400)} d`;
  return format(undefined, 'short', { day: 'numeric', month: 'short' }).format(date);
}

/** Whether a zone is known to this browser. */
function is_zone(zone) {
  try {
    return Boolean(zone && new Intl.DateTimeFormat(undefined, { timeZone: zone }));
  } catch {
    return false;
  }
}

/** "14:05:03.123" of today, else with its day, in the reader's zone. */
export function moment(date, now = new Date()) {
  const time = format(undefined, 'moment', { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 }).format(date);
  const is_today = day_key(date) === day_key(now);
  return is_today ? time : `${format(undefined, 'short', { day: 'numeric', month: 'short' }).format(date)} ${time}`;
}

/** "3 February 2026, 14:05:03", in the reader's zone. */
export function long_moment(date) {
  return format(undefined, 'long moment', { dateStyle: 'long', timeStyle: 'medium' }).format(date);
}

/** Where the times of a session are told. */
export const zone_of = (session) => (is_zone(session?.tz) ? session.tz : 'UTC');
