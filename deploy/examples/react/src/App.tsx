import type { Pgcast } from 'pgcast-client'
import { useChat } from 'pgcast-client/react'
import { CallHistoryView } from './CallHistoryView'
import { CampaignLiveStats } from './CampaignLiveStats'
import { CandidateTimeline } from './CandidateTimeline'
import { WhatsAppChatView } from './WhatsAppChatView'

interface Props {
  pgcast: Pgcast
  session: string
  campaign: string | null
}

/** All four about one candidate. Views of the same session share one channel. */
export function App({ pgcast, session, campaign }: Props) {
  const chat = useChat(pgcast, { session })
  const zone = zoneOf(chat.session?.tz)
  const shownCampaign = campaign ?? chat.session?.campaign ?? null
  return (
    <main>
      <WhatsAppChatView pgcast={pgcast} session={session} zone={zone} />
      <div className="side">
        <CampaignLiveStats pgcast={pgcast} campaign={shownCampaign} />
        <CallHistoryView pgcast={pgcast} session={session} zone={zone} />
        <CandidateTimeline pgcast={pgcast} session={session} zone={zone} />
      </div>
    </main>
  )
}

/** The candidate's time zone if this browser knows it, else UTC. */
function zoneOf(name: string | null | undefined): string {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name ?? 'UTC' }).resolvedOptions().timeZone
  } catch {
    return 'UTC'
  }
}
