import type { Pgcast, TimelineEntry } from 'pgcast-client'
import { useTimeline } from 'pgcast-client/react'
import { Panel } from './Panel'
import { clock, day } from './time'

const k_shown = 50

/** What happened with a candidate, the newest first: messages, calls and objectives. */
export function CandidateTimeline({ pgcast, session, zone }: { pgcast: Pgcast; session: string; zone: string }) {
  const { entries, ...view } = useTimeline(pgcast, { session })
  const newest = entries.slice(-k_shown).reverse()
  return (
    <Panel title="Timeline" className="timeline" view={view}>
      {entries.length === 0 && <p className="hint">Nothing has happened yet.</p>}
      <ol>
        {newest.map((entry) => (
          <li key={entry.key} data-type={entry.type}>
            <span dir="auto">{sentence(entry)}</span>
            {entry.at && <time dateTime={entry.at.toISOString()}>{day(entry.at, zone)}, {clock(entry.at, zone)}</time>}
          </li>
        ))}
      </ol>
    </Panel>
  )
}

function sentence(entry: TimelineEntry): string {
  switch (entry.type) {
    case 'message':
      return `${{ user: 'Candidate', agent: 'Agent', other: 'Message' }[entry.message.side]}: ${entry.message.text.slice(0, 140)}`
    case 'call':
      return `Call ${entry.call.status ?? ''}`
    case 'objective': {
      const { objective, new_value, source } = entry.objective
      return `${(objective ?? 'Objective').replaceAll('_', ' ')} is now ${JSON.stringify(new_value)}${source ? `, by ${source}` : ''}`
    }
  }
}
