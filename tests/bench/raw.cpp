// raw.cpp - the bare server, the practical limit: single-threaded epoll WebSocket fan-out server.
// Protocol (text frames from client): "S <topic>" subscribe -> {"ok":1};
// "P <topic> <payload>" publish: payload goes as one text frame to all subscribers.
// Modes: send   = one send() per subscriber per message, at once
//        cork   = per loop iteration, one send() per subscriber per topic with all frames
//        iov3   = as send, but writev of shared head + 20 bytes of this subscriber + shared tail
// usage: raw PORT send|cork|iov3
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>
#include <arpa/inet.h>
#include <csignal>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
using std::string; using std::string_view;
struct Topic;
struct Conn { explicit Conn(int f) : fd(f) {} int fd; bool up = false, want_out = false; Topic* topic = nullptr; size_t slot = 0; string in, out; };
struct Topic { std::vector<Conn*> subs; string batch; bool dirty = false; };
static std::unordered_map<string, Topic> topics;
static std::vector<Topic*> dirty;
static std::vector<Conn*> dead;
static int ep; static bool cork, iov3;
static void mod(Conn* c, bool out) {
  if (c->want_out == out) return;
  c->want_out = out;
  epoll_event ev{}; ev.events = EPOLLIN | (out ? unsigned(EPOLLOUT) : 0u); ev.data.ptr = c; epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
}
static inline void put(Conn* c, string_view d) {
  if (c->out.empty()) {
    ssize_t n = send(c->fd, d.data(), d.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n == ssize_t(d.size())) return;
    if (n > 0) d.remove_prefix(size_t(n));
    else if (errno != EAGAIN) return;
  }
  c->out.append(d); mod(c, true);
}
static void frame(string& o, string_view p) {
  o += char(0x81);
  if (p.size() < 126) o += char(p.size());
  else if (p.size() < 65536) { o += char(126); o += char(p.size() >> 8); o += char(p.size()); }
  else { o += char(127); for (int s = 56; s >= 0; s -= 8) o += char(uint64_t(p.size()) >> s); }
  o.append(p);
}
static string scratch;
static void message(Conn* c, string_view m) {
  if (m.size() > 2 && m[0] == 'S') {
    Topic& t = topics[string(m.substr(2))]; c->topic = &t; c->slot = t.subs.size(); t.subs.push_back(c);
    scratch.clear(); frame(scratch, "{\"ok\":1}"); put(c, scratch);
  } else if (m.size() > 2 && m[0] == 'P') {
    m.remove_prefix(2); size_t sp = m.find(' '); if (sp == m.npos) return;
    auto it = topics.find(string(m.substr(0, sp))); if (it == topics.end()) return;
    Topic& t = it->second;
    if (cork) { frame(t.batch, m.substr(sp + 1)); if (!t.dirty) { t.dirty = true; dirty.push_back(&t); } }
    else { scratch.clear(); frame(scratch, m.substr(sp + 1)); if (iov3) { for (Conn* s : t.subs) { iovec v[3] = {{scratch.data(), scratch.size() - 60}, {scratch.data() + scratch.size() - 60, 20}, {scratch.data() + scratch.size() - 40, 40}}; msghdr mh{}; mh.msg_iov = v; mh.msg_iovlen = 3; if (!s->out.empty() || sendmsg(s->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) put(s, scratch); } return; }
      for (Conn* s : t.subs) put(s, scratch); }
  }
}
static void upgrade(Conn* c, string_view h) {
  size_t k = h.find("Sec-WebSocket-Key: "); if (k == h.npos) return;
  string key(h.substr(k + 19, h.find("\r\n", k) - k - 19)); key += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  unsigned char md[20]; char b64[32]; SHA1(reinterpret_cast<const unsigned char*>(key.data()), key.size(), md);
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(b64), md, 20);
  put(c, string("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ") + b64 + "\r\n\r\n");
  c->up = true;
}
static size_t consume(Conn* c, char* p, size_t n) {
  size_t used = 0;
  if (!c->up) { string_view v(p, n); size_t e = v.find("\r\n\r\n"); if (e == v.npos) return 0; upgrade(c, v.substr(0, e + 4)); used = e + 4; }
  while (n - used >= 6) {
    auto* h = reinterpret_cast<unsigned char*>(p + used); size_t head = 6; uint64_t len = h[1] & 127;
    if (len == 126) { head = 8; if (n - used < head) break; len = uint64_t(h[2]) << 8 | h[3]; }
    else if (len == 127) { head = 14; if (n - used < head) break; len = 0; for (int i = 2; i < 10; ++i) len = len << 8 | h[i]; }
    if (n - used - head < len) break;
    unsigned char* mask = h + head - 4; char* d = p + used + head;
    for (uint64_t i = 0; i < len; ++i) d[i] = char(d[i] ^ mask[i & 3]);
    if ((h[0] & 15) <= 2) message(c, string_view(d, len));
    used += head + len;
  }
  return used;
}
static void drop(Conn* c) {
  if (c->fd < 0) return;
  close(c->fd); c->fd = -1;
  if (c->topic) { auto& s = c->topic->subs; s.back()->slot = c->slot; s[c->slot] = s.back(); s.pop_back(); }
  dead.push_back(c);
}
int main(int argc, char** argv) {
  int port = atoi(argv[1]); cork = argc > 2 && !strcmp(argv[2], "cork"); iov3 = argc > 2 && !strcmp(argv[2], "iov3");
  rlimit rl{200000, 200000}; setrlimit(RLIMIT_NOFILE, &rl); signal(SIGPIPE, SIG_IGN);
  int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1; setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in a{}; a.sin_family = AF_INET; a.sin_port = htons(uint16_t(port)); a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(ls, reinterpret_cast<sockaddr*>(&a), sizeof a) || listen(ls, 4096)) { perror("bind"); return 1; }
  ep = epoll_create1(0); epoll_event ev{}; ev.events = EPOLLIN; ev.data.ptr = nullptr; epoll_ctl(ep, EPOLL_CTL_ADD, ls, &ev);
  std::vector<char> buf(1 << 18); epoll_event evs[512];
  for (;;) {
    int n = epoll_wait(ep, evs, 512, -1);
    for (int i = 0; i < n; ++i) {
      Conn* c = static_cast<Conn*>(evs[i].data.ptr);
      if (!c) {
        for (int k = 0; k < 256; ++k) { int fd = accept4(ls, nullptr, nullptr, SOCK_NONBLOCK); if (fd < 0) break;
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); Conn* nc = new Conn(fd); ev.events = EPOLLIN; ev.data.ptr = nc; epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev); }
        continue;
      }
      if (c->fd < 0) continue;
      if (evs[i].events & EPOLLOUT) { if (!c->out.empty()) { ssize_t w = send(c->fd, c->out.data(), c->out.size(), MSG_DONTWAIT | MSG_NOSIGNAL); if (w > 0) c->out.erase(0, size_t(w)); } if (c->out.empty()) { string().swap(c->out); mod(c, false); } }
      if (evs[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        ssize_t r = recv(c->fd, buf.data(), buf.size(), MSG_DONTWAIT);
        if (r == 0 || (r < 0 && errno != EAGAIN)) { drop(c); continue; }
        if (r < 0) continue;
        if (c->in.empty()) { size_t u = consume(c, buf.data(), size_t(r)); if (u < size_t(r)) c->in.assign(buf.data() + u, size_t(r) - u); }
        else { c->in.append(buf.data(), size_t(r)); size_t u = consume(c, c->in.data(), c->in.size()); c->in.erase(0, u); if (c->in.empty()) string().swap(c->in); }
      }
    }
    for (Topic* t : dirty) { for (Conn* s : t->subs) put(s, t->batch); t->batch.clear(); t->dirty = false; }
    dirty.clear();
    for (Conn* c : dead) delete c;
    dead.clear();
  }
}
