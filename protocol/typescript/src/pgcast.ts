// The client: what can be asked, and what can be watched.
import { Api, type ApiOptions, type RequestOptions } from './api.js';
import type {
  CallPage, CampaignDetails, CampaignList, MessagePage, PhoneSnapshot, SessionPage, SessionSnapshot,
} from './tables.js';
import type { AnySupabaseClient } from './token.js';
import { listen, type Listener, type TopicOptions } from './topic.js';
import { StatsWatch, Watch, type StatsOptions, type TopicKind, type WatchOptions } from './watch.js';

export type PgcastOptions = ApiOptions;

export interface PageOptions extends RequestOptions {
  /** 1 to 1000; 100 if it is not given. */
  limit?: number | undefined;
  /** The `next` of the page before. */
  before?: string | null | undefined;
}

export interface HistoryOptions extends PageOptions {
  /** One side only. */
  sender?: 'user' | 'agent' | undefined;
}

/** Made once beside the supabase client, whose connection and token it uses. */
export class Pgcast {
  readonly #supabase: AnySupabaseClient;
  readonly #api: Api;

  constructor(supabase: AnySupabaseClient, options: PgcastOptions = {}) {
    this.#supabase = supabase;
    this.#api = new Api(supabase, options);
  }

  /** Messages of a number: newest page first, oldest first within a page. */
  getChatHistory(phoneNumber: string, { limit, before, sender, ...request }: HistoryOptions = {}): Promise<MessagePage> {
    return this.#api.get(['phones', phoneNumber, 'messages'], { limit, before: before ?? undefined, sender }, request);
  }

  /** A session with its campaign, messages, calls and objectives. */
  getSessionDetails(sessionId: string, request: RequestOptions = {}): Promise<SessionSnapshot> {
    return this.#api.get(['sessions', sessionId], {}, request);
  }

  /** Sessions of a campaign, newest first. */
  getCampaignSessions(campaignName: string, { limit, before, ...request }: PageOptions = {}): Promise<SessionPage> {
    return this.#api.get(['campaigns', campaignName, 'sessions'], { limit, before: before ?? undefined }, request);
  }

  /** Calls of a session, newest first. */
  getCallRecords(sessionId: string, { limit, before, ...request }: PageOptions = {}): Promise<CallPage> {
    return this.#api.get(['sessions', sessionId, 'calls'], { limit, before: before ?? undefined }, request);
  }

  /** The session that a number leads to, with all that it shows. */
  getCandidateProfile(phoneNumber: string, request: RequestOptions = {}): Promise<PhoneSnapshot> {
    return this.#api.get(['phones', phoneNumber], {}, request);
  }

  /** All campaigns, with their numbers. */
  getCampaigns(request: RequestOptions = {}): Promise<CampaignList> {
    return this.#api.get(['campaigns'], {}, request);
  }

  /** One campaign, with its numbers. */
  getCampaign(name: string, request: RequestOptions = {}): Promise<CampaignDetails> {
    return this.#api.get(['campaigns', name], {}, request);
  }

  watchSession(sessionId: string, options: WatchOptions<'session'> = {}): Watch<'session'> {
    return this.#watch('session', sessionId, options);
  }

  /** Follows the number: when it moves to another session, a fresh snapshot comes. */
  watchPhone(phoneNumber: string, options: WatchOptions<'phone'> = {}): Watch<'phone'> {
    return this.#watch('phone', phoneNumber, options);
  }

  watchCampaign(campaignName: string, options: WatchOptions<'campaign'> = {}): Watch<'campaign'> {
    return this.#watch('campaign', campaignName, options);
  }

  /** The numbers of a campaign: at once, and after every change. */
  watchStats(campaignName: string, options: StatsOptions = {}): StatsWatch {
    return new StatsWatch((listener) => this.#listen(`stats:${campaignName}`, listener), options);
  }

  #watch<Kind extends TopicKind>(kind: Kind, id: string, options: WatchOptions<Kind>): Watch<Kind> {
    const { snapshot, resume, from } = options;
    return new Watch((listener) => this.#listen(`${kind}:${id}`, listener, { snapshot, resume, from }), options);
  }

  #listen(topic: string, listener: Listener, options: TopicOptions = {}): () => void {
    return listen(this.#supabase, () => this.#api.refusalOfKey(), topic, listener, options);
  }
}

export function createPgcast(supabase: AnySupabaseClient, options: PgcastOptions = {}): Pgcast {
  return new Pgcast(supabase, options);
}
