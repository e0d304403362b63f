'use client';
// React: a topic as the state of a component. Components that show the same topic share its channel.
import { useMemo } from 'react';
import type { Pgcast } from './pgcast.js';
import type { CallInfo, CampaignInfo, CampaignSnapshot, CampaignStats, SessionInfo, SessionSnapshot } from './tables.js';
import { chatEntry, timelineOf, type ChatEntry, type TimelineEntry } from './timeline.js';
import { useTopic, type HookState, type Shown } from './use_topic.js';

export type { HookState, HookStatus } from './use_topic.js';

/** Whose conversation: of a session, or of the session that a number leads to. */
export type ChatSource = { session: string; phone?: never } | { phone: string; session?: never };

export interface Chat extends HookState {
  /** Oldest first. */
  messages: ChatEntry[];
  hasMore: boolean;
  session: SessionInfo | null;
  campaign: CampaignInfo | null;
  phoneNumber: string | null;
}

export interface Calls extends HookState {
  /** Newest first. */
  calls: CallInfo[];
  hasMore: boolean;
}

export interface Timeline extends HookState {
  /** Oldest first. */
  entries: TimelineEntry[];
}

export interface CampaignView extends HookState {
  campaign: CampaignInfo | null;
  /** Newest created_at first. */
  sessions: SessionInfo[];
  hasMore: boolean;
}

export interface CampaignStatsView extends HookState {
  stats: CampaignStats | null;
}

/** The messages of a conversation, live. */
export function useChat(pgcast: Pgcast, source: ChatSource | null): Chat {
  const { state, ...view } = useSession(pgcast, source);
  const messages = useMemo(() => state?.messages.map(chatEntry) ?? k_none, [state?.messages]);
  return {
    ...view, messages, hasMore: state?.more.messages ?? false, session: state?.session ?? null,
    campaign: state?.campaign ?? null, phoneNumber: state?.phone_number ?? null,
  };
}

/** The calls of a conversation, live. */
export function useCalls(pgcast: Pgcast, source: ChatSource | null): Calls {
  const { state, ...view } = useSession(pgcast, source);
  return { ...view, calls: state?.calls ?? k_none, hasMore: state?.more.calls ?? false };
}

/** Messages, calls and changes of objectives of a conversation in one list, live. */
export function useTimeline(pgcast: Pgcast, source: ChatSource | null): Timeline {
  const { state, ...view } = useSession(pgcast, source);
  const { session, messages, calls, objectives } = state ?? {};
  const entries = useMemo(() => (state ? timelineOf(state) : k_none), [session, messages, calls, objectives]);
  return { ...view, entries };
}

/** A campaign and its sessions, live. */
export function useCampaign(pgcast: Pgcast, campaign: string | null): CampaignView {
  const { state, ...view } = useTopic<CampaignSnapshot>(pgcast, campaign && `campaign:${campaign}`, (shown) =>
    pgcast.watchCampaign(campaign ?? '', { ...shown, onChange: shown.onState }));
  return { ...view, campaign: state?.campaign ?? null, sessions: state?.sessions ?? k_none, hasMore: state?.more ?? false };
}

/** The numbers of a campaign, live. */
export function useCampaignStats(pgcast: Pgcast, campaign: string | null): CampaignStatsView {
  const { state, ...view } = useTopic<CampaignStats>(pgcast, campaign && `stats:${campaign}`, (shown) =>
    pgcast.watchStats(campaign ?? '', { ...shown, onStats: shown.onState }));
  return { ...view, stats: state };
}

/** The same list each time, so that nothing is drawn again for it. */
const k_none: never[] = [];

function useSession(pgcast: Pgcast, source: ChatSource | null): Shown<SessionSnapshot> {
  const { session, phone } = source ?? {};
  const topic = session ? `session:${session}` : phone ? `phone:${phone}` : null;
  return useTopic<SessionSnapshot>(pgcast, topic, (shown) => {
    const options = { ...shown, onChange: shown.onState };
    return session ? pgcast.watchSession(session, options) : pgcast.watchPhone(phone ?? '', options);
  });
}
