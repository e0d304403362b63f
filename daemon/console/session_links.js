// The same session in the other rooms.
import { html, Icon } from './ui.js';

const k_rooms = {
  candidate: { icon: 'person', words: 'Candidate' },
  chats: { icon: 'chat', words: 'Conversation' },
  calls: { icon: 'phone', words: 'Calls' },
};

/** `rooms` are the paths to lead to; `campaign` is kept on show there. */
export function SessionLinks({ session_id, campaign, rooms }) {
  const query = new URLSearchParams({ ...(campaign && { campaign }), session: session_id });
  return html`<p class="links">${rooms.map((room) => html`
    <a key=${room} href=${`#/${room}?${query}`} title=${k_rooms[room].words}>
      <${Icon} name=${k_rooms[room].icon} size="16" /><span>${k_rooms[room].words}</span></a>`)}</p>`;
}
