import { defineConfig } from 'vite'

export default defineConfig({
  base: './',
  esbuild: { jsx: 'automatic' },
  // pgcast-client is a link to a folder with packages of its own: there is one React, this page's.
  resolve: { dedupe: ['react', 'react-dom', '@supabase/supabase-js'] },
})
