import type { ReactNode } from 'react'
import type { HookState } from 'pgcast-client/react'

interface Props {
  title: string
  className: string
  view: HookState
  children: ReactNode
}

/** A titled card that says how live it is. */
export function Panel({ title, className, view, children }: Props) {
  return (
    <section className={`panel ${className}`} aria-label={title}>
      <header>
        <h2>{title}</h2>
        <span className="status" data-status={view.status}>{view.status}</span>
      </header>
      {view.error && <p className="problem" role="alert">{view.error.message}</p>}
      {view.isLoading ? <p className="hint">Loading…</p> : children}
    </section>
  )
}
