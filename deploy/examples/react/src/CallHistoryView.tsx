import type { CallInfo, Pgcast } from 'pgcast-client'
import { useCalls } from 'pgcast-client/react'
import { Panel } from './Panel'
import { clock, day, span } from './time'

/** The calls, newest first, each with its transcript and recording. */
export function CallHistoryView({ pgcast, session, zone }: { pgcast: Pgcast; session: string; zone: string }) {
  const { calls, ...view } = useCalls(pgcast, { session })
  return (
    <Panel title="Calls" className="calls" view={view}>
      {calls.length === 0 && <p className="hint">No calls yet.</p>}
      <ul>{calls.map((call) => <Call key={call.call_id} call={call} zone={zone} />)}</ul>
    </Panel>
  )
}

function Call({ call, zone }: { call: CallInfo; zone: string }) {
  const at = call.called_at ? new Date(call.called_at) : null
  const recording = call.recording_url?.startsWith('https://') ? call.recording_url : null
  return (
    <li>
      <div className="line">
        <b>{at ? `${day(at, zone)}, ${clock(at, zone)}` : 'Not called yet'}</b>
        <span className="badge">{call.status ?? 'unknown'}</span>
        {call.duration && <span className="hint">{span(call.duration)}</span>}
      </div>
      {(call.transcript || recording) && (
        <details>
          <summary>Transcript{recording && ' and recording'}</summary>
          {recording && <audio controls preload="none" src={recording} />}
          {call.transcript && <p dir="auto">{call.transcript}</p>}
        </details>
      )}
    </li>
  )
}
