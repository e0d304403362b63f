import type { Pgcast } from 'pgcast-client'
import { useCampaignStats } from 'pgcast-client/react'
import { Panel } from './Panel'

/** The numbers of a campaign, at most a moment old. */
export function CampaignLiveStats({ pgcast, campaign }: { pgcast: Pgcast; campaign: string | null }) {
  const { stats, ...view } = useCampaignStats(pgcast, campaign)
  const numbers: [string, number][] = stats
    ? [['sessions', stats.sessions], ['active', stats.active], ['messages', stats.messages.total],
      ['by candidates', stats.messages.user], ['calls', stats.calls.total], ['call minutes', Math.round(stats.calls.seconds / 60)]]
    : []
  const objectives = Object.entries(stats?.objectives ?? {}).sort((a, b) => b[1] - a[1])
  return (
    <Panel title={campaign ?? 'No campaign'} className="stats" view={view}>
      <dl className="numbers">
        {numbers.map(([name, count]) => (
          <div key={name}><dt>{name}</dt><dd>{count.toLocaleString()}</dd></div>
        ))}
      </dl>
      <ul className="objectives">
        {objectives.map(([name, met]) => (
          <li key={name}>
            <span>{name.replaceAll('_', ' ')}</span>
            <meter aria-label={name} max={stats!.sessions || 1} value={met} />
            <span>{met} of {stats!.sessions}</span>
          </li>
        ))}
      </ul>
    </Panel>
  )
}
