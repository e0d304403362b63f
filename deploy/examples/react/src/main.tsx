// #session=sess-amara&campaign=care-assistants&token=<token>, and &url= for another daemon than this machine's.
import { createClient } from '@supabase/supabase-js'
import { createPgcast } from 'pgcast-client'
import { createRoot } from 'react-dom/client'
import { App } from './App'
import './style.css'

const address = new URLSearchParams(location.hash.slice(1))
const supabase = createClient(address.get('url') ?? 'http://127.0.0.1:4000', address.get('token') ?? '-')
const pgcast = createPgcast(supabase)

createRoot(document.getElementById('root')!).render(
  <App pgcast={pgcast} session={address.get('session') ?? 'sess-amara'} campaign={address.get('campaign')} />,
)
