// A chat message as it is stored -> what a screen shows.

/** A value of a jsonb column. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** `{sender, text, timestamp, status}`. */
export interface SenderMessage {
  sender: string;
  text: string;
  timestamp?: string;
  status?: string;
}

/** The form of LangChain and n8n: the text stands in `content` or in `data.content`. */
export interface TypedMessage {
  type: string;
  content?: string | Json[];
  data?: { content?: string | Json[]; [key: string]: Json | undefined };
}

/** Two dialects are normal; what is neither is whatever JSON the row holds. Read it with readMessage. */
export type ChatMessage = SenderMessage | TypedMessage | Json;

export type Side = 'user' | 'agent' | 'other';

export interface ReadMessage {
  side: Side;
  text: string;
  timestamp: Date | null;
  status: string | null;
  /** The message is in no known dialect: `text` is its JSON. */
  isRaw: boolean;
}

const k_sides = new Map<unknown, Side>([
  ['user', 'user'], ['human', 'user'], ['agent', 'agent'], ['ai', 'agent'], ['assistant', 'agent'],
]);

type Members = { readonly [key: string]: unknown };

/**
 * The side is the value of `sender`, or of `type` where there is no `sender`, or null: user and human
 * are the user; agent, ai and assistant the agent; anything else is neither. So counts the daemon too.
 */
export function readMessage(message: unknown): ReadMessage {
  if (!isObject(message)) {
    const text = typeof message === 'string' ? message : JSON.stringify(message ?? null);
    return { side: 'other', text, timestamp: null, status: null, isRaw: true };
  }
  const data = isObject(message['data']) ? message['data'] : {};
  const text = textOf(message['text']) ?? textOf(message['content']) ?? textOf(data['content']);
  return {
    side: k_sides.get(message['sender'] ?? message['type']) ?? 'other',
    text: text ?? JSON.stringify(message, null, 2),
    timestamp: dateOf(message['timestamp'] ?? data['timestamp']),
    status: typeof message['status'] === 'string' ? message['status'] : null,
    isRaw: text === null,
  };
}

/** Text of a content: a string, or LangChain's list of parts; null when it is something else. */
function textOf(content: unknown): string | null {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content) || content.length === 0) return null;
  const parts = content.map((part) => (isObject(part) ? part['text'] : part));
  return parts.every((part) => typeof part === 'string') ? parts.join('\n') : null;
}

/** ISO text (UTC where it names no zone, as Postgres writes it), or seconds or milliseconds since 1970. */
export function dateOf(value: unknown): Date | null {
  if (typeof value === 'number') return valid(new Date(value < 1e11 ? value * 1000 : value));
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\d/.test(value)) return null;
  const text = value.replace(' ', 'T').replace(/(\d:\d\d.*[+-]\d\d)$/, '$1:00');
  const hasZone = !/\d:\d\d/.test(text) || /(Z|[+-]\d\d:?\d\d)$/i.test(text);
  return valid(new Date(hasZone ? text : `${text}Z`));
}

function valid(date: Date): Date | null {
  return Number.isNaN(date.getTime()) ? null : date;
}

function isObject(value: unknown): value is Members {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
