// A chat message as it is stored -> what the screen shows. Two dialects are normal:
//   {"sender", "text", "timestamp", "status"}
//   {"type": "human" | "ai", "content" | "data": {"content"}}  (LangChain, n8n)
import { to_date } from './time.js';

const k_sides = { user: 'user', human: 'user', agent: 'agent', ai: 'agent', assistant: 'agent' };

/**
 * {side: 'user' | 'agent' | 'other', name, text, time: Date | null, status, is_raw}.
 * `name` is what the row calls the side. What is in neither dialect keeps its JSON as text (is_raw).
 */
export function read_message(message) {
  if (message === null || typeof message !== 'object') return read_anew(message);
  // Once for each message: lists are drawn again and again, and a message may be a megabyte.
  if (!readings.has(message)) readings.set(message, read_anew(message));
  return readings.get(message);
}

const readings = new WeakMap();

function read_anew(message) {
  if (message === null || typeof message !== 'object' || Array.isArray(message)) {
    return raw(typeof message === 'string' ? message : json_text(message), 'message');
  }
  const name = message.sender ?? message.type; // as the daemon counts: a null is no sender
  const data = is_object(message.data) ? message.data : {};
  const text = text_of(message.text) ?? text_of(message.content) ?? text_of(data.content);
  const side = (typeof name === 'string' && Object.hasOwn(k_sides, name) && k_sides[name]) || 'other';
  const time = to_date(message.timestamp ?? data.timestamp ?? null);
  const status = typeof message.status === 'string' ? message.status : null;
  if (text === null) return { ...raw(json_text(message, 2), name), side, time, status };
  return { side, name: String(name ?? 'message'), text, time, status, is_raw: false };
}

/** One line of it for a list: at most `length` characters. */
export function preview(message, length = 120) {
  return read_message(message).text.slice(0, length * 2).replace(/\s+/g, ' ').trim().slice(0, length);
}

/** What a status means, for ticks: {icon, label, tone}; null when there is nothing to show. */
export function read_status(status, side) {
  if (!status) return null;
  const known = k_status[status.toLowerCase()];
  if (!known) return { icon: null, label: status, tone: 'plain' };
  // Ticks tell how far our own message came; for the candidate's only a failure is news.
  if (side !== 'agent' && known.tone !== 'bad') return null;
  return known;
}

const waiting = { icon: 'clock', label: 'Waiting to be sent', tone: 'plain' };
const sent = { icon: 'one', label: 'Sent', tone: 'plain' };
const delivered = { icon: 'two', label: 'Delivered', tone: 'plain' };
const read = { icon: 'two', label: 'Read', tone: 'read' };
const failed = { icon: 'alert', label: 'Not delivered', tone: 'bad' };
const k_status = {
  pending: waiting, queued: waiting, sending: waiting, accepted: waiting, scheduled: waiting,
  sent, delivered, received: delivered, read, seen: read,
  failed, undelivered: failed, error: failed,
};
Object.setPrototypeOf(k_status, null);

function raw(text, name) {
  return { side: 'other', name: String(name ?? 'message'), text: String(text), time: null, status: null, is_raw: true };
}

/** JSON that people can read; a value nested deeper than the browser can write is only named. */
function json_text(value, indent) {
  try {
    return JSON.stringify(value, null, indent);
  } catch {
    return '(a deeply nested value)';
  }
}

/** Text of a content: a string, or LangChain's list of parts; null when it is something else. */
function text_of(content) {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content) || content.length === 0) return null;
  const parts = content.map((part) => (typeof part === 'string' ? part : is_object(part) ? part.text : null));
  return parts.every((part) => typeof part === 'string') ? parts.join('\n') : null;
}

function is_object(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
