import { Fragment, useLayoutEffect, useRef } from 'react'
import type { ChatEntry, Pgcast } from 'pgcast-client'
import { useChat } from 'pgcast-client/react'
import { Panel } from './Panel'
import { clock, day } from './time'

const k_ticks: Record<string, string> = { sent: '✓', delivered: '✓✓', read: '✓✓', failed: '!' }

/** The conversation, with sides, days, times and ticks; it stays at its end while one is there. */
export function WhatsAppChatView({ pgcast, session, zone }: { pgcast: Pgcast; session: string; zone: string }) {
  const chat = useChat(pgcast, { session })
  const box = useRef<HTMLDivElement>(null)
  const isAtEnd = useRef(true)
  useLayoutEffect(() => {
    if (box.current && isAtEnd.current) box.current.scrollTop = box.current.scrollHeight
  }, [chat.messages, zone])
  const follow = () => {
    const { scrollHeight, scrollTop, clientHeight } = box.current!
    isAtEnd.current = scrollHeight - scrollTop - clientHeight < 60
  }
  let shownDay = ''
  return (
    <Panel title={chat.phoneNumber ?? session} className="chat" view={chat}>
      <div ref={box} onScroll={follow} tabIndex={0} role="log" aria-label="Messages">
        <ol>
          {chat.messages.map((message) => {
            const ownDay = message.timestamp ? day(message.timestamp, zone) : shownDay
            const beginsDay = ownDay !== shownDay
            shownDay = ownDay
            return (
              <Fragment key={message.id}>
                {beginsDay && <li className="day"><span>{ownDay}</span></li>}
                <Bubble message={message} zone={zone} />
              </Fragment>
            )
          })}
        </ol>
      </div>
    </Panel>
  )
}

function Bubble({ message, zone }: { message: ChatEntry; zone: string }) {
  const { side, text, timestamp, status, isRaw } = message
  const ticks = side === 'agent' && status ? k_ticks[status] ?? status : null
  return (
    <li className={`message ${side}`}>
      {isRaw ? <pre>{text}</pre> : <p dir="auto">{text}</p>}
      <small>
        {timestamp && <time dateTime={timestamp.toISOString()}>{clock(timestamp, zone)}</time>}
        {ticks && <span className={`ticks ${status}`} title={status ?? ''}>{ticks}</span>}
      </small>
    </li>
  )
}
