// The values of a call as the screen shows them: status, duration, recording, transcript.

const live = ['ringing', 'in_progress', 'ongoing', 'initiated', 'dialing', 'dialling', 'connecting', 'connected',
  'answered', 'active', 'started', 'processing'];
const good = ['completed', 'complete', 'ended', 'done', 'success', 'successful', 'finished'];
const bad = ['failed', 'error', 'busy', 'no_answer', 'unanswered', 'missed', 'canceled', 'cancelled', 'rejected', 'declined'];
const k_tones = new Map([...live.map((word) => [word, 'live']), ...good.map((word) => [word, 'good']), ...bad.map((word) => [word, 'bad'])]);

/** {label, tone: 'live' | 'good' | 'bad' | 'plain'} of a status in any spelling. */
export function read_call_status(status) {
  if (!status) return { label: 'no status', tone: 'plain' };
  const word = status.trim().toLowerCase().replace(/[\s-]+/g, '_');
  return { label: status.replaceAll('_', ' '), tone: k_tones.get(word) ?? 'plain' };
}

/** Seconds of an interval as Postgres writes it ("1 day 02:03:04.5", "-00:00:05"); null for none. */
export function interval_seconds(text) {
  if (typeof text !== 'string') return null;
  let seconds = null;
  const units = { year: 31_557_600, mon: 2_592_000, day: 86_400 };
  for (const [, count, unit] of text.matchAll(/(-?\d+) (year|mon|day)s?/g)) seconds = (seconds ?? 0) + count * units[unit];
  const clock = text.match(/(-?)(\d+):(\d\d):(\d\d(?:\.\d+)?)/);
  if (!clock) return seconds;
  const [, sign, hours, minutes, rest] = clock;
  return (seconds ?? 0) + (sign ? -1 : 1) * (hours * 3600 + minutes * 60 + Number(rest));
}

/** "4:12", "1:02:03"; whole seconds. */
export function duration_words(seconds) {
  const whole = Math.round(Math.abs(seconds));
  const two = (value) => String(value).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const sign = seconds <= -0.5 ? '-' : '';
  return `${sign}${hours ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}`;
}

/** The address of a recording that a player may load, else null: only http and https are. */
export function recording_address(text) {
  if (typeof text !== 'string' || !/^https?:\/\//i.test(text.trim())) return null;
  return URL.canParse(text.trim()) ? new URL(text.trim()).href : null;
}

const k_agent = /^(ai|agent|assistant|bot|recruiter|interviewer)( ?\d+)?$/i;
const k_user = /^(user|human|candidate|customer|caller|callee|applicant|client)( ?\d+)?$/i;
const k_speaker = /^\s{0,8}(?:\[?\d\d?:\d\d(?::\d\d)?\]?\s+)?(\p{L}[\p{L}\p{N} ._'-]{0,30}?)\s{0,2}:(?:\s|$)/u;

function side_of(name) {
  if (k_agent.test(name)) return 'agent';
  return k_user.test(name) ? 'user' : 'other';
}

/**
 * A transcript as turns [{name, side, text}], or null when it does not look like a dialogue: then it is
 * text. A name before a colon is a speaker's if it is a usual one or begins several lines, so that
 * "Note: .." within a turn is not one. A line without a speaker goes on the turn before it. Some
 * providers write a JSON list of {role, message} instead.
 */
export function speaker_turns(transcript) {
  const listed = turns_of_json(transcript);
  if (listed) return listed;
  const lines = transcript.split(/\r?\n/).filter((line) => line.trim());
  const names = new Map();
  for (const line of lines) {
    const name = line.match(k_speaker)?.[1];
    if (name) names.set(name, (names.get(name) ?? 0) + 1);
  }
  const is_speaker = (name) => side_of(name) !== 'other' || names.get(name) > 1;
  const speakers = [...names.keys()].filter(is_speaker);
  const first = lines[0]?.match(k_speaker)?.[1];
  if (!first || !is_speaker(first) || speakers.length > 6) return null;
  const turns = [];
  for (const line of lines) {
    const found = line.match(k_speaker);
    if (found && is_speaker(found[1])) {
      turns.push({ name: found[1], side: side_of(found[1]), text: line.slice(found[0].length).trim() });
    } else {
      turns.at(-1).text += `\n${line.trim()}`;
    }
  }
  return turns;
}

function turns_of_json(transcript) {
  if (!/^\s*\[\s*\{/.test(transcript)) return null;
  let list;
  try {
    list = JSON.parse(transcript);
  } catch {
    return null;
  }
  const turns = list.map((one) => ({ name: one?.role ?? one?.speaker ?? one?.sender, text: one?.message ?? one?.content ?? one?.text }));
  if (!turns.every(({ name, text }) => typeof name === 'string' && (typeof text === 'string' || text == null))) return null;
  return turns.filter(({ text }) => text).map(({ name, text }) => ({ name, side: side_of(name), text }));
}

/** One line about a call for a list: its summary, else how the transcript begins. */
export function call_preview({ analysis, transcript }) {
  const summary = analysis?.summary ?? analysis?.transcript_summary ?? analysis?.call_summary;
  const text = typeof summary === 'string' && summary ? summary : transcript ?? '';
  return text.slice(0, 300).replace(/\s+/g, ' ').trim().slice(0, 120);
}
