// The shell: token, address, connection, and the rooms. A room is one entry of the table below.
import { html, render, useState, useEffect, useMemo } from './ui.js';
import { Realtime } from './realtime.js';
import { Connection } from './connection.js';
import { Room } from './room.js';
import { SignIn } from './sign_in.js';

/** path -> room, in ./<path>.js; the first is where one starts. */
const k_rooms = [
  { path: 'chats', title: 'Chats', view: 'Chats' },
  { path: 'calls', title: 'Calls', view: 'Calls' },
  { path: 'campaigns', title: 'Campaigns', view: 'Campaigns' },
  { path: 'candidate', title: 'Candidate', view: 'Candidate' },
  { path: 'operations', title: 'Operations', view: 'Operations' },
];

const k_token = 'pgcast.token';
const base = new URL('.', document.baseURI);

/** Address: #/<room>?<key>=<value>.. or, once, #token=<token>. Keeps the token and hides it. */
function read_address() {
  const text = location.hash.slice(1);
  if (text.startsWith('token=')) {
    sessionStorage.setItem(k_token, new URLSearchParams(text).get('token').trim());
    history.replaceState(null, '', location.pathname + location.search);
    return read_address();
  }
  const [path, query] = text.replace(/^\//, '').split('?');
  const room = k_rooms.find((one) => one.path === path) ?? k_rooms[0];
  return { room, query: new URLSearchParams(query), token: sessionStorage.getItem(k_token) };
}

/** Asks the API, or posts `content`; {body} or {status, reason}: 0 = the daemon cannot be reached. */
async function ask(path, token, content) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  try {
    const posted = content && { method: 'POST', body: JSON.stringify(content) };
    const answer = await fetch(new URL(path, base), { headers, signal: AbortSignal.timeout(5000), ...posted });
    const body = await answer.json().catch(() => ({}));
    if (answer.ok) return { body, status: answer.status };
    return { status: answer.status, reason: body.detail ?? body.title ?? body.error ?? answer.statusText };
  } catch (error) {
    return { status: 0, reason: String(error.message) };
  }
}

function socket_url() {
  const url = new URL('realtime/v1/websocket', base);
  url.protocol = url.protocol.replace('http', 'ws');
  return url;
}

function App() {
  const [address, set_address] = useState(read_address);
  const [may_go_without, set_may_go_without] = useState(null);
  const { token } = address;

  useEffect(() => {
    const follow = () => set_address(read_address());
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  // A daemon in auth.mode off needs no token: find out before asking for one.
  useEffect(() => {
    if (!token) ask('api/v1/campaigns').then(({ status }) => set_may_go_without(status === 200));
  }, [token]);

  const sign_in = (text) => {
    sessionStorage.setItem(k_token, text);
    set_address(read_address());
  };
  if (!token && may_go_without === null) return null;
  if (!token && !may_go_without) return html`<${SignIn} sign_in=${sign_in} />`;
  return html`<${House} key=${token} address=${address} sign_in=${sign_in} />`;
}

/** Everything behind the token: one connection and the room on show. */
function House({ address, sign_in }) {
  const { room, query, token } = address;
  const [state, set_state] = useState({ kind: 'connecting', since: Date.now() });
  const realtime = useMemo(() => new Realtime({
    url: socket_url(),
    token,
    on_state: set_state,
    probe: async () => {
      const { status, reason } = await ask('api/v1/campaigns', token);
      return status === 401 ? reason : null;
    },
  }), []);
  useEffect(() => () => realtime.close(), []);

  if (state.kind === 'refused') return html`<${SignIn} sign_in=${sign_in} reason=${state.reason} />`;
  return html`
    <header class="bar">
      <a class="brand" href="#/"><img src="console/icon.svg" alt="" width="22" height="22" />pgcast</a>
      <nav aria-label="Rooms">${k_rooms.map((one) => html`
        <a href=${`#/${one.path}`} aria-current=${one === room ? 'page' : null}>${one.title}</a>`)}</nav>
      <${Connection} state=${state} />
    </header>
    <${Room} room=${room} realtime=${realtime} query=${query} ask=${(path, content) => ask(path, token, content)} />`;
}

render(html`<${App} />`, document.getElementById('app'));
