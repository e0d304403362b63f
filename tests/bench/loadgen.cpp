// loadgen.cpp - fan-out load generator for WebSocket event servers.
//
// One process, one thread, one epoll set, no dependency beyond libc/libstdc++ (and libpq for --rows).
//
//   1. CONNECT  open N WebSocket connections (subscribers) with bounded
//               concurrency, from several loopback source addresses so that the
//               ephemeral port range is no limit; every one sends its join
//               frame(s) and, if asked, waits for an acknowledgement.
//   2. IDLE     optionally hold the connections to read the server's memory.
//   3. PUBLISH  one further connection (or inserts into Postgres, --rows, or an
//               outside program) publishes events
//               either closed loop (--window W: at most W events in flight, gives
//               the maximum rate without unbounded queues) or open loop
//               (--rate R events/s; the embedded time is the *scheduled* send
//               time, so a stalled generator or server is not hidden).
//   4. DRAIN    wait for the rest, then check completeness and order.
//
// An event payload is  {"n":SEQ,"t":NANOSECONDS,"d":"xxxx..."}  where SEQ counts
// up per topic from 1 and NANOSECONDS is CLOCK_MONOTONIC.  The server may wrap it
// in anything as long as the bytes  "n":SEQ,"t":NS  arrive unchanged (set
// --escaped if the payload travels inside a JSON string: \"n\":SEQ,\"t\":NS).
// Blanks as in  "n": SEQ, "t": NS  (Postgres' jsonb) do no harm.
//
// Output: one line of JSON on stdout.  Exit code 0 only if every subscriber got
// every event exactly once and in order (or --no-check).
//
// Build:  the preset bench (pgcast_loadgen)
// Usage:  pgcast_loadgen --help
//
// All traffic stays on the address given by --host (default 127.0.0.1), time and
// volume are bounded by --warmup/--secs/--max-events.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cmath>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "row_publisher.hpp"

namespace {

// ---------------------------------------------------------------- small tools

[[noreturn]] void die(const char* fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fputs("loadgen: ", stderr);
  vfprintf(stderr, fmt, ap);
  fputc('\n', stderr);
  va_end(ap);
  exit(2);
}

uint64_t clock_ns(clockid_t c) {
  timespec ts;
  if (clock_gettime(c, &ts) != 0) return 0;
  return uint64_t(ts.tv_sec) * 1000000000ull + uint64_t(ts.tv_nsec);
}
uint64_t now_ns() { return clock_ns(CLOCK_MONOTONIC); }

// Replaces {name} by value everywhere.
std::string subst(std::string s, const char* name, const std::string& value) {
  const std::string key = std::string("{") + name + "}";
  for (size_t p = 0; (p = s.find(key, p)) != std::string::npos; p += value.size())
    s.replace(p, key.size(), value);
  return s;
}

// Turns \r \n \t \\ of a command-line template into the real characters.
std::string unescape(const std::string& in) {
  std::string out;
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i] != '\\' || i + 1 == in.size()) { out += in[i]; continue; }
    switch (in[++i]) {
      case 'r': out += '\r'; break;
      case 'n': out += '\n'; break;
      case 't': out += '\t'; break;
      case '\\': out += '\\'; break;
      default: out += '\\'; out += in[i];
    }
  }
  return out;
}

// Logarithmic histogram: 64 linear steps per power of two (error < 1.6 %).
class Histogram {
 public:
  void add(uint64_t v) { ++bucket_[index(v)]; ++count_; max_ = std::max(max_, v); sum_ += double(v); }
  uint64_t quantile(double q) const {
    if (!count_) return 0;
    const uint64_t want = std::max<uint64_t>(1, uint64_t(std::ceil(q * double(count_))));
    uint64_t seen = 0;
    for (size_t i = 0; i < bucket_.size(); ++i)
      if ((seen += bucket_[i]) >= want) return std::min(max_, value(i));
    return max_;
  }
  uint64_t max() const { return max_; }
  uint64_t count() const { return count_; }
  double mean() const { return count_ ? sum_ / double(count_) : 0; }
  void clear() { *this = Histogram(); }

 private:
  static constexpr int kSub = 6;
  static size_t index(uint64_t v) {
    if (v < (1u << kSub)) return size_t(v);
    const int e = 63 - __builtin_clzll(v);
    return (size_t(e - kSub + 1) << kSub) + size_t((v >> (e - kSub)) & ((1u << kSub) - 1));
  }
  static uint64_t value(size_t i) {
    if (i < (1u << kSub)) return i;
    const size_t e = (i >> kSub) + kSub - 1, m = i & ((1u << kSub) - 1);
    return ((uint64_t(1) << kSub | m) << (e - kSub)) + (uint64_t(1) << (e - kSub)) / 2;
  }
  std::array<uint64_t, size_t(64 - kSub + 1) << kSub> bucket_{};
  uint64_t count_ = 0, max_ = 0;
  double sum_ = 0;
};

// ------------------------------------------------------------------- options

struct Options {
  std::string host = "127.0.0.1";
  int port = 9001;
  std::string path = "/";                // {t} topic number, {i} connection number, {k} its token
  std::vector<std::string> tokens;       // of connection i: number i % size
  std::string pub_path;                  // path of the publishing connection (default: path)
  std::vector<std::string> headers;      // further handshake request headers
  int conns = 100;
  int topics = 1;                        // connection i subscribes topic i % topics
  int src_addrs = 8;                     // 127.0.0.1 .. 127.0.0.<src_addrs>
  int ramp = 256;                        // handshakes under way at once
  std::string hello, hello_ack;          // first frame and the text its answer contains
  std::vector<std::string> join;         // {t} topic number, {i} connection number
  std::vector<std::string> pub_join;     // first frames of a publisher, once per topic of it if they name {t}
  std::string pub_ack;                   // text that confirms each of them
  int pubs = 1;                          // publishing connections; topic t belongs to number t % pubs
  std::string ack;                       // text that confirms a join
  std::string reply_in, reply_out;       // application-level ping: if frame == in, send out
  std::string pub = "P t{t} {p}";        // {t} topic, {p} payload, {plen} its length
  bool mqtt = false;                     // MQTT 3.1.1 over WebSocket instead of templates
  bool binary = false;                   // send frames as binary
  bool escaped = false;                  // payload arrives inside a JSON string
  bool multi = false;                    // several events may share one frame
  std::string rows;                      // publish by INSERT into this database (libpq conninfo)
  std::string row_session = "s{t}";      // session of topic t's rows
  bool no_publish = false;               // an outside program publishes
  bool no_check = false;
  int size = 300;                        // payload bytes
  int window = 0;                        // events in flight (closed loop)
  double rate = 0;                       // events/s (open loop)
  double warmup = 0.5, secs = 3, drain = 5, idle = 0, settle = 0.2;
  uint64_t max_events = UINT64_MAX;
  int pid = 0;                           // server process to account
  int tree = 0;                          // process to account with its children, the database
  std::string label;
};

void usage() {
  puts(
      "loadgen [--host A] [--port P] [--path /x] [--pub-path /y] [--header 'K: V']...\n"
      "  --conns N --topics M --src-addrs A --ramp C\n"
      "  --hello TEXT --hello-ack TEXT  a frame to send, and its answer to await, before the join\n"
      "  --join TEXT...      join frame(s), {t} topic number, {i} connection number, \\r \\n\n"
      "  --ack TEXT          wait until a received frame contains TEXT after the join\n"
      "  --pubs N            publishing connections, topic t is published by number t % N\n"
      "  --pub-join TEXT...  first frames of a publishing connection; with {t}: for each of its topics\n"
      "  --pub-ack TEXT      wait until every one of them was answered by a frame with TEXT\n"
      "  --reply IN=OUT      answer a text frame IN with OUT (engine.io ping 2=3)\n"
      "  --pub TEXT          publish frame: {t} topic, {p} payload, {plen} payload length\n"
      "  --rows CONNINFO     publish by INSERT into chat_history, one transaction an event\n"
      "  --row-session TEXT  session_id of the rows of topic {t} (s{t})\n"
      "  --mqtt              MQTT 3.1.1 packets instead of --join/--ack/--pub\n"
      "  --binary --escaped --multi --no-publish --no-check\n"
      "  --size BYTES --window W | --rate EVENTS_PER_S\n"
      "  --warmup S --secs S --drain S --idle S --settle S --max-events N\n"
      "  --tokens FILE       a token a line, {k} in --path and --join: of connection i line i\n"
      "  --pid PID           report the server's CPU time and memory\n"
      "  --tree PID          report the CPU time of another process and its children (Postgres)\n"
      "  --label TEXT        copied into the output");
}

std::vector<std::string> read_lines(const std::string& file) {
  std::ifstream in(file);
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line);) out.push_back(line);
  if (out.empty()) die("no lines in %s", file.c_str());
  return out;
}

Options parse_args(int argc, char** argv) {
  Options o;
  auto need = [&](int& i) -> std::string {
    if (++i >= argc) die("%s needs a value", argv[i - 1]);
    return argv[i];
  };
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--host") o.host = need(i);
    else if (a == "--port") o.port = std::stoi(need(i));
    else if (a == "--path") o.path = need(i);
    else if (a == "--pub-path") o.pub_path = need(i);
    else if (a == "--header") o.headers.push_back(need(i));
    else if (a == "--conns") o.conns = std::stoi(need(i));
    else if (a == "--topics") o.topics = std::stoi(need(i));
    else if (a == "--src-addrs") o.src_addrs = std::stoi(need(i));
    else if (a == "--ramp") o.ramp = std::stoi(need(i));
    else if (a == "--hello") o.hello = unescape(need(i));
    else if (a == "--hello-ack") o.hello_ack = unescape(need(i));
    else if (a == "--join") o.join.push_back(unescape(need(i)));
    else if (a == "--pub-join") o.pub_join.push_back(unescape(need(i)));
    else if (a == "--pub-ack") o.pub_ack = unescape(need(i));
    else if (a == "--pubs") o.pubs = std::max(1, std::stoi(need(i)));
    else if (a == "--ack") o.ack = unescape(need(i));
    else if (a == "--reply") {
      const std::string v = unescape(need(i));
      const size_t e = v.find('=');
      if (e == std::string::npos) die("--reply wants IN=OUT");
      o.reply_in = v.substr(0, e);
      o.reply_out = v.substr(e + 1);
    }
    else if (a == "--pub") o.pub = unescape(need(i));
    else if (a == "--rows") o.rows = need(i);
    else if (a == "--row-session") o.row_session = need(i);
    else if (a == "--mqtt") o.mqtt = true;
    else if (a == "--binary") o.binary = true;
    else if (a == "--escaped") o.escaped = true;
    else if (a == "--multi") o.multi = true;
    else if (a == "--no-publish") o.no_publish = true;
    else if (a == "--no-check") o.no_check = true;
    else if (a == "--size") o.size = std::stoi(need(i));
    else if (a == "--window") o.window = std::stoi(need(i));
    else if (a == "--rate") o.rate = std::stod(need(i));
    else if (a == "--warmup") o.warmup = std::stod(need(i));
    else if (a == "--secs") o.secs = std::stod(need(i));
    else if (a == "--drain") o.drain = std::stod(need(i));
    else if (a == "--idle") o.idle = std::stod(need(i));
    else if (a == "--settle") o.settle = std::stod(need(i));
    else if (a == "--max-events") o.max_events = std::stoull(need(i));
    else if (a == "--tokens") o.tokens = read_lines(need(i));
    else if (a == "--tree") o.tree = std::stoi(need(i));
    else if (a == "--pid") o.pid = std::stoi(need(i));
    else if (a == "--label") o.label = need(i);
    else if (a == "--help") { usage(); exit(0); }
    else die("unknown option %s (--help)", a.c_str());
  }
  if (o.mqtt) {
    o.binary = true;
    o.headers.push_back("Sec-WebSocket-Protocol: mqtt");
    o.multi = true;
  }
  if (o.topics > o.conns) o.topics = o.conns;
  o.pubs = std::min(o.pubs, o.topics);
  if (o.rate <= 0 && o.window <= 0) o.window = 4;
  o.size = std::max(o.size, 64);
  return o;
}

// ------------------------------------------------- accounting of the server

struct ProcUse { uint64_t cpu_ns = 0; long rss_kb = 0; long priv_kb = 0; };

ProcUse proc_use(int pid) {
  ProcUse u;
  if (pid <= 0) return u;
  clockid_t c;  // CPU clock of another process: all threads, nanoseconds
  if (clock_getcpuclockid(pid, &c) == 0) u.cpu_ns = clock_ns(c);
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
  if (FILE* f = fopen(path, "r")) {
    long v;
    while (fgets(line, sizeof line, f)) {
      if (sscanf(line, "Rss: %ld", &v) == 1) u.rss_kb = v;
      else if (sscanf(line, "Private_Dirty: %ld", &v) == 1) u.priv_kb = v;
    }
    fclose(f);
  }
  return u;
}

// CPU seconds of a process and its children, the ended ones included; in clock ticks of 10 ms.
double tree_cpu_s(int pid) {
  uint64_t ticks = 0;
  DIR* const all = pid > 0 ? opendir("/proc") : nullptr;
  while (const dirent* one = all ? readdir(all) : nullptr) {
    const int id = atoi(one->d_name);
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", id);
    FILE* const f = id > 0 ? fopen(path, "r") : nullptr;
    if (!f) continue;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    const char* rest = strrchr(text, ')');  // the name before may contain anything
    int parent = 0;
    uint64_t user = 0, system = 0, ended_user = 0, ended_system = 0;
    const int fields = rest ? sscanf(rest, ") %*c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
                                     &parent, &user, &system, &ended_user, &ended_system) : 0;
    if (fields != 5) continue;
    if (id == pid) ticks += user + system + ended_user + ended_system;
    if (parent == pid) ticks += user + system;
  }
  if (all) closedir(all);
  return double(ticks) / double(sysconf(_SC_CLK_TCK));
}

// Kernel memory of all sockets on the machine (pages of buffers + slab), in kB.
long kernel_kb() {
  long slab = 0, v;
  char line[256];
  if (FILE* f = fopen("/proc/meminfo", "r")) {
    while (fgets(line, sizeof line, f))
      if (sscanf(line, "Slab: %ld", &v) == 1) slab = v;
    fclose(f);
  }
  return slab;
}

// --------------------------------------------------------- WebSocket client

// Appends one masked client frame.
void append_frame(std::string& out, std::string_view payload, unsigned opcode) {
  static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  out += char(0x80 | opcode);
  const size_t n = payload.size();
  if (n < 126) out += char(0x80 | n);
  else if (n < 65536) { out += char(0x80 | 126); out += char(n >> 8); out += char(n); }
  else { out += char(0x80 | 127); for (int s = 56; s >= 0; s -= 8) out += char(uint64_t(n) >> s); }
  out.append(reinterpret_cast<const char*>(mask), 4);
  const size_t at = out.size();
  out.append(payload);
  for (size_t i = 0; i < n; ++i) out[at + i] = char(out[at + i] ^ mask[i & 3]);
}

enum class State : uint8_t { Closed, Connecting, Upgrading, Greeting, Joining, Ready };

struct Conn {
  int fd = -1;
  int index = 0;               // subscriber number; -1, -2, ..: the publishers
  int acks = 1;                // confirmations to wait for
  int topic = 0;
  State state = State::Closed;
  bool want_out = false;
  uint64_t last_n = 0;         // last event number seen
  uint64_t received = 0;       // events seen
  std::string in;              // bytes of an incomplete frame
  std::string out;             // bytes not yet accepted by the kernel
};

// MQTT 3.1.1 packets (QoS 0 only).
std::string mqtt_packet(uint8_t type, const std::string& body) {
  std::string p(1, char(type));
  size_t n = body.size();
  do { uint8_t b = n & 127; n >>= 7; p += char(n ? b | 128 : b); } while (n);
  return p + body;
}
std::string mqtt_str(const std::string& s) { return std::string{char(s.size() >> 8), char(s.size())} + s; }

class Generator {
 public:
  explicit Generator(const Options& o) : o_(o), ep_(epoll_create1(EPOLL_CLOEXEC)), buf_(1 << 18) {
    needle_ = o_.escaped ? "\\\"n\\\":" : "\"n\":";
    subs_per_topic_.assign(size_t(o_.topics), 0);
    for (int i = 0; i < o_.conns; ++i) ++subs_per_topic_[size_t(i % o_.topics)];
    topic_seq_.assign(size_t(o_.topics), 0);
    filler_.assign(size_t(o_.size), 'x');
  }

  int run() {
    server_before_ = proc_use(o_.pid);
    const long kern0 = kernel_kb();
    conns_.resize(size_t(o_.conns + o_.pubs));
    pub_batch_.resize(size_t(o_.pubs));
    const uint64_t t0 = now_ns();
    connect_all();
    connect_secs_ = double(now_ns() - t0) / 1e9;
    const ProcUse hs = proc_use(o_.pid);
    hs_cpu_us_ = double(hs.cpu_ns - server_before_.cpu_ns) / 1e3 / o_.conns;
    loop_for(o_.settle);
    if (o_.idle > 0) loop_for(o_.idle);
    server_idle_ = proc_use(o_.pid);
    kernel_per_conn_ = double(kernel_kb() - kern0) * 1024 / o_.conns;

    if (!o_.no_publish && (o_.secs > 0)) {
      open_publisher();
      publish_phase();
    } else if (o_.no_publish) {
      publish_phase();
    }
    return report();
  }

 private:
  // ------------------------------------------------------------ connections

  void start_connect(Conn& c) {
    c.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c.fd < 0) die("socket: %s", strerror(errno));
    int one = 1;
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(uint16_t(o_.port));
    if (inet_pton(AF_INET, o_.host.c_str(), &to.sin_addr) != 1) die("bad host %s", o_.host.c_str());
    if (ntohl(to.sin_addr.s_addr) >> 24 == 127 && o_.src_addrs > 1) {
      // Spread over source addresses; the kernel picks the port at connect().
      setsockopt(c.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
      sockaddr_in from{};
      from.sin_family = AF_INET;
      from.sin_addr.s_addr = htonl(0x7f000001u + uint32_t(std::abs(c.index + 1) % o_.src_addrs));
      if (bind(c.fd, reinterpret_cast<sockaddr*>(&from), sizeof from)) die("bind: %s", strerror(errno));
    }
    c.state = State::Connecting;
    if (connect(c.fd, reinterpret_cast<sockaddr*>(&to), sizeof to) && errno != EINPROGRESS)
      die("connect: %s", strerror(errno));
    epoll_event ev{};
    ev.events = EPOLLIN | EPOLLOUT;
    ev.data.ptr = &c;
    c.want_out = true;
    if (epoll_ctl(ep_, EPOLL_CTL_ADD, c.fd, &ev)) die("epoll_ctl: %s", strerror(errno));
    ++in_handshake_;
  }

  // A template with the connection's topic, number and token.
  std::string for_conn(const std::string& text, const Conn& c) const {
    auto out = subst(subst(text, "t", std::to_string(c.topic)), "i", std::to_string(c.index));
    return o_.tokens.empty() ? out : subst(std::move(out), "k", o_.tokens[size_t(std::max(0, c.index)) % o_.tokens.size()]);
  }

  void on_connected(Conn& c) {
    int err = 0;
    socklen_t len = sizeof err;
    getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err) die("connection %d: %s", c.index, strerror(err));
    const std::string& tmpl = c.index < 0 && !o_.pub_path.empty() ? o_.pub_path : o_.path;
    std::string r = "GET " + for_conn(tmpl, c) + " HTTP/1.1\r\nHost: " + o_.host + ":" + std::to_string(o_.port) +
                    "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    for (const auto& h : o_.headers) r += h + "\r\n";
    c.state = State::Upgrading;
    send_raw(c, r + "\r\n");
  }

  void on_upgraded(Conn& c) {
    if (o_.hello.empty()) { join(c); return; }
    std::string f;
    append_frame(f, o_.hello, o_.binary ? 2 : 1);
    c.state = State::Greeting;
    send_raw(c, f);
  }

  void join(Conn& c) {
    std::string f;
    const unsigned op = o_.binary ? 2 : 1;
    if (o_.mqtt) {
      append_frame(f, mqtt_packet(0x10, mqtt_str("MQTT") + std::string("\x04\x02\x00\x00", 4) +
                                            mqtt_str("lg" + std::to_string(c.index + 1))), op);
      if (c.index >= 0)
        append_frame(f, mqtt_packet(0x82, std::string("\x00\x01", 2) +
                                              mqtt_str("t" + std::to_string(c.topic)) + '\0'), op);
    } else {
      const int step = c.index < 0 ? o_.pubs : o_.topics, first = c.index < 0 ? -1 - c.index : c.topic;
      int sent = 0;
      for (const auto& j : c.index < 0 ? o_.pub_join : o_.join)
        for (int t = first; t < o_.topics; t += step) {
          append_frame(f, subst(subst(j, "t", std::to_string(t)), "i", std::to_string(c.index)), op);
          ++sent;
          if (j.find("{t}") == j.npos) break;
        }
      if (c.index < 0) c.acks = sent;
    }
    const bool wait = c.index >= 0 ? o_.mqtt || !o_.ack.empty() : !o_.pub_ack.empty() && c.acks > 0;
    c.state = wait ? State::Joining : State::Ready;
    if (!f.empty()) send_raw(c, f);
    if (!wait) on_ready();
  }

  void on_ready() { --in_handshake_; ++ready_; }

  void connect_all() {
    size_t next = 0;
    uint64_t progress = now_ns();
    int last = 0;
    while (ready_ < o_.conns) {
      while (next < size_t(o_.conns) && in_handshake_ < o_.ramp) {
        Conn& c = conns_[next];
        c.index = int(next);
        c.topic = c.index % o_.topics;
        start_connect(c);
        ++next;
      }
      poll_once(100'000'000);
      if (ready_ != last) { last = ready_; progress = now_ns(); }
      if (now_ns() - progress > 10'000'000'000ull) die("handshakes stalled at %d of %d", ready_, o_.conns);
    }
  }

  void open_rows() {
    rows_ = std::make_unique<row_publisher>(o_.rows, [this](uint64_t stamp) {
      const uint64_t now = now_ns();
      if (o_.topics == 1) committed_at_.push_back(now);
      if (measuring_) commit_.add(now > stamp ? now - stamp : 0);
    });
    epoll_event ev{};
    ev.events = EPOLLIN;
    ev.data.ptr = nullptr;  // no client
    if (epoll_ctl(ep_, EPOLL_CTL_ADD, rows_->descriptor(), &ev)) die("epoll_ctl: %s", strerror(errno));
  }

  void open_publisher() {
    if (!o_.rows.empty()) { open_rows(); loop_for(0.1); return; }
    const uint64_t until = now_ns() + 10'000'000'000ull;
    for (int i = 0; i < o_.pubs; ++i) {
      Conn& c = conns_[size_t(o_.conns + i)];
      c.index = -1 - i;
      start_connect(c);
      while (c.state != State::Ready) {
        poll_once(50'000'000);
        if (now_ns() > until) die("publisher %d could not connect or join, %d answers missing", i, c.acks);
      }
    }
    loop_for(0.1);
  }

  // -------------------------------------------------------------- input/output

  void set_out(Conn& c, bool on) {
    if (c.want_out == on) return;
    c.want_out = on;
    epoll_event ev{};
    ev.events = EPOLLIN | (on ? uint32_t(EPOLLOUT) : 0u);
    ev.data.ptr = &c;
    epoll_ctl(ep_, EPOLL_CTL_MOD, c.fd, &ev);
  }

  void send_raw(Conn& c, std::string_view data) {
    if (c.out.empty()) {
      const ssize_t n = ::send(c.fd, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) data.remove_prefix(size_t(n));
      else if (n < 0 && errno != EAGAIN) return;
    }
    if (!data.empty()) c.out.append(data);
    set_out(c, !c.out.empty());
  }

  void flush(Conn& c) {
    if (!c.out.empty()) {
      const ssize_t n = ::send(c.fd, c.out.data(), c.out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) c.out.erase(0, size_t(n));
    }
    set_out(c, !c.out.empty());
  }

  void drop(Conn& c) {
    if (c.fd < 0) return;
    close(c.fd);
    c.fd = -1;
    if (c.state != State::Ready) die("connection %d closed during the handshake", c.index);
    c.state = State::Closed;
    ++closed_;
  }

  void poll_once(uint64_t timeout_ns) {
    epoll_event ev[512];
    const timespec ts{time_t(timeout_ns / 1000000000), long(timeout_ns % 1000000000)};
    const int n = epoll_pwait2(ep_, ev, 512, &ts, nullptr);
    for (int i = 0; i < n; ++i) {
      if (!ev[i].data.ptr) { rows_->pump(); continue; }
      Conn& c = *static_cast<Conn*>(ev[i].data.ptr);
      if (c.fd < 0) continue;
      if (c.state == State::Connecting) {
        if (ev[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) on_connected(c);
        continue;
      }
      if (ev[i].events & EPOLLOUT) flush(c);
      if (ev[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) on_input(c);
    }
  }

  void loop_for(double secs) {
    const uint64_t end = now_ns() + uint64_t(secs * 1e9);
    for (uint64_t t; (t = now_ns()) < end;) poll_once(std::min<uint64_t>(50'000'000, end - t));
  }

  void on_input(Conn& c) {
    const ssize_t n = ::recv(c.fd, buf_.data(), buf_.size(), MSG_DONTWAIT);
    if (n <= 0) {
      if (n == 0 || (errno != EAGAIN && errno != EINTR)) drop(c);
      return;
    }
    bytes_ += uint64_t(n);
    const uint64_t now = now_ns();
    const char* p = buf_.data();
    size_t len = size_t(n);
    if (!c.in.empty()) {  // an incomplete frame is pending: continue there
      c.in.append(p, len);
      std::string all;
      all.swap(c.in);
      const size_t used = consume(c, all.data(), all.size(), now);
      c.in.assign(all, used, std::string::npos);
    } else {
      const size_t used = consume(c, p, len, now);
      if (used < len) c.in.assign(p + used, len - used);
      else if (c.in.capacity() > 4096) std::string().swap(c.in);
    }
  }

  // Takes whole units (response header or frames) from [p, p+n); returns bytes used.
  size_t consume(Conn& c, const char* p, size_t n, uint64_t now) {
    size_t used = 0;
    if (c.state == State::Upgrading) {
      const void* e = memmem(p, n, "\r\n\r\n", 4);
      if (!e) return 0;
      if (n < 12 || memcmp(p + 9, "101", 3) != 0) die("handshake refused: %.*s", int(std::min<size_t>(n, 200)), p);
      used = size_t(static_cast<const char*>(e) - p) + 4;
      on_upgraded(c);
    }
    while (n - used >= 2) {
      const auto* h = reinterpret_cast<const unsigned char*>(p + used);
      size_t head = 2;
      uint64_t len = h[1] & 0x7f;
      if (len == 126) {
        head = 4;
        if (n - used < head) break;
        len = uint64_t(h[2]) << 8 | h[3];
      } else if (len == 127) {
        head = 10;
        if (n - used < head) break;
        len = 0;
        for (int i = 2; i < 10; ++i) len = len << 8 | h[i];
      }
      if (n - used - head < len) break;
      on_frame(c, h[0] & 15u, std::string_view(p + used + head, size_t(len)), now);
      if (c.fd < 0) return n;
      used += head + size_t(len);
    }
    return used;
  }

  void on_frame(Conn& c, unsigned opcode, std::string_view m, uint64_t now) {
    ++frames_;
    if (opcode == 9) { std::string f; append_frame(f, m, 10); send_raw(c, f); return; }
    if (opcode == 8) { drop(c); return; }
    if (c.state == State::Greeting) {
      if (m.find(o_.hello_ack) != m.npos) join(c);
      return;
    }
    if (c.state == State::Joining) {
      const bool ok = o_.mqtt ? m.find('\x90') != m.npos : m.find(c.index < 0 ? o_.pub_ack : o_.ack) != m.npos;
      if (ok && --c.acks <= 0) { c.state = State::Ready; on_ready(); }
      return;
    }
    if (!o_.reply_in.empty() && m == o_.reply_in) {
      std::string f;
      append_frame(f, o_.reply_out, 1);
      send_raw(c, f);
      return;
    }
    if (c.index < 0) return;  // replies to the publisher
    const char* p = m.data();
    const char* const end = p + m.size();
    for (;;) {
      const char* k = static_cast<const char*>(memmem(p, size_t(end - p), needle_.data(), needle_.size()));
      if (!k) break;
      p = k + needle_.size();
      uint64_t seq = 0, t = 0;
      p = read_number(p, end, seq);
      p = read_number(p, end, t);  // after  ,"t":  or  , "t":  or  ,\"t\":
      on_event(c, seq, t, now);
      if (!o_.multi || p >= end) break;
    }
  }

  // The next digits of [p, end), whatever stands before them; returns the place behind them.
  static const char* read_number(const char* p, const char* end, uint64_t& value) {
    while (p < end && unsigned(*p - '0') >= 10) ++p;
    while (p < end && unsigned(*p - '0') < 10) value = value * 10 + unsigned(*p++ - '0');
    return p;
  }

  void on_event(Conn& c, uint64_t seq, uint64_t t, uint64_t now) {
    ++received_;
    ++c.received;
    if (seq != c.last_n + 1) {
      if (seq <= c.last_n) ++disorder_;
      else gaps_ += seq - c.last_n - 1;
    }
    c.last_n = std::max(c.last_n, seq);
    // By when it was due, not by when it came: what is late counts, also if it comes in the drain.
    if (t >= measured_from_ && t < measured_to_) {
      latency_.add(now > t ? now - t : 0);
      // Delivered before the writer heard of its commit: no time has passed since.
      if (rows_ && o_.topics == 1)
        since_commit_.add(seq <= committed_at_.size() && now > committed_at_[seq - 1] ? now - committed_at_[seq - 1] : 0);
    }
  }

  // ------------------------------------------------------------------ publish

  void publish_one(uint64_t stamp) {
    const int topic = next_topic_;
    next_topic_ = (next_topic_ + 1) % o_.topics;
    const uint64_t seq = ++topic_seq_[size_t(topic)];
    char head[96];
    const int h = snprintf(head, sizeof head, "{\"n\":%" PRIu64 ",\"t\":%" PRIu64 ",\"d\":\"", seq, stamp);
    std::string payload(head, size_t(h));
    payload.append(filler_, 0, size_t(std::max(0, o_.size - h - 2)));
    payload += "\"}";
    ++events_;
    expected_ += subs_per_topic_[size_t(topic)];
    if (rows_) {
      rows_->insert(subst(o_.row_session, "t", std::to_string(topic)), payload, stamp);
      return;
    }
    std::string f;
    if (o_.mqtt)
      append_frame(f, mqtt_packet(0x30, mqtt_str("t" + std::to_string(topic)) + payload), 2);
    else
      append_frame(f, subst(subst(subst(o_.pub, "t", std::to_string(topic)), "plen", std::to_string(payload.size())),
                            "p", payload), o_.binary ? 2 : 1);
    pub_batch_[size_t(topic % o_.pubs)] += f;
  }

  // Publishes what is due; returns the time to wait in ns.
  uint64_t publish_due() {
    if (o_.no_publish) return 10'000'000;
    uint64_t wait = 10'000'000;
    if (o_.rate > 0) {
      const uint64_t now = now_ns();
      const double step = 1e9 / o_.rate;
      while (events_ < o_.max_events) {
        const uint64_t due = rate_start_ + uint64_t(double(rate_count_) * step);
        if (due > now) { wait = std::min(wait, due - now); break; }
        publish_one(due);
        ++rate_count_;
      }
    } else {
      const uint64_t limit = uint64_t(o_.window) * uint64_t(std::max(1, o_.conns / o_.topics));
      while (events_ < o_.max_events &&
             (expected_ <= received_ || expected_ - received_ + subs_per_topic_[size_t(next_topic_)] <= limit))
        publish_one(now_ns());
    }
    if (rows_) {
      rows_->pump();
      return wait;
    }
    for (size_t i = 0; i < pub_batch_.size(); ++i) {
      Conn& c = conns_[size_t(o_.conns) + i];
      if (c.fd < 0) die("the server closed a publishing connection");
      if (!pub_batch_[i].empty()) send_raw(c, pub_batch_[i]);
      pub_batch_[i].clear();
    }
    return wait;
  }

  void publish_phase() {
    rate_start_ = now_ns();
    run_until(now_ns() + uint64_t(o_.warmup * 1e9));

    const ProcUse s0 = proc_use(o_.pid);
    const double tree0 = tree_cpu_s(o_.tree);
    const uint64_t self0 = clock_ns(CLOCK_PROCESS_CPUTIME_ID), t0 = now_ns(), r0 = received_, e0 = events_,
                   b0 = bytes_, f0 = frames_;
    measuring_ = true;
    measured_from_ = o_.warmup > 0 ? t0 : 0;
    run_until(t0 + uint64_t(o_.secs * 1e9));
    measuring_ = false;
    const uint64_t t1 = now_ns();
    measured_to_ = t1;
    const ProcUse s1 = proc_use(o_.pid);
    tree_cpu_ = tree_cpu_s(o_.tree) - tree0;
    secs_ = double(t1 - t0) / 1e9;
    m_deliveries_ = received_ - r0;
    m_events_ = events_ - e0;
    m_bytes_ = bytes_ - b0;
    m_frames_ = frames_ - f0;
    self_cpu_ = double(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - self0) / 1e9;
    server_cpu_ = double(s1.cpu_ns - s0.cpu_ns) / 1e9;
    server_end_ = s1;

    // Drain: no further events, wait for what is under way.
    const uint64_t until = now_ns() + uint64_t(o_.drain * 1e9);
    while (!o_.no_publish && received_ < expected_ && now_ns() < until) {
      if (rows_) rows_->pump();
      poll_once(20'000'000);
    }
  }

  void run_until(uint64_t end) {
    while (now_ns() < end) {
      const uint64_t wait = publish_due();
      poll_once(wait);
    }
  }

  // ------------------------------------------------------------------- report

  int report() {
    uint64_t incomplete = 0;
    if (!o_.no_publish)
      for (int i = 0; i < o_.conns; ++i)
        if (conns_[size_t(i)].received != topic_seq_[size_t(i % o_.topics)]) ++incomplete;
    const bool ok = o_.no_check || (incomplete == 0 && gaps_ == 0 && disorder_ == 0 && closed_ == 0);
    const double d = double(m_deliveries_);
    printf("{\"label\":\"%s\",\"ok\":%s,\"conns\":%d,\"topics\":%d,\"size\":%d,", o_.label.c_str(), ok ? "true" : "false",
           o_.conns, o_.topics, o_.size);
    if (o_.rate > 0) printf("\"rate\":%.1f,", o_.rate);
    else printf("\"window\":%d,", o_.window);
    printf("\"connect_s\":%.3f,\"handshakes_per_s\":%.0f,\"server_us_per_handshake\":%.2f,", connect_secs_,
           o_.conns / connect_secs_, hs_cpu_us_);
    printf("\"rss_start_kb\":%ld,\"rss_idle_kb\":%ld,\"rss_end_kb\":%ld,\"bytes_per_idle_conn\":%.0f,"
           "\"slab_bytes_per_pair\":%.0f,", server_before_.rss_kb, server_idle_.rss_kb, server_end_.rss_kb,
           double(server_idle_.rss_kb - server_before_.rss_kb) * 1024 / o_.conns, kernel_per_conn_);
    if (secs_ > 0)
      printf("\"secs\":%.3f,\"events\":%" PRIu64 ",\"deliveries\":%" PRIu64 ",\"frames\":%" PRIu64
             ",\"deliveries_per_s\":%.0f,\"mbytes_per_s\":%.1f,"
             "\"lat_us\":{\"mean\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p95\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f},"
             "\"loadgen_cpu_s\":%.3f,\"loadgen_util\":%.2f,\"server_cpu_s\":%.3f,\"server_util\":%.2f,"
             "\"server_cpu_s_per_M\":%.4f,", secs_, m_events_, m_deliveries_, m_frames_, d / secs_,
             double(m_bytes_) / secs_ / 1e6, latency_.mean() / 1e3, double(latency_.quantile(.5)) / 1e3,
             double(latency_.quantile(.9)) / 1e3, double(latency_.quantile(.95)) / 1e3, double(latency_.quantile(.99)) / 1e3,
             double(latency_.quantile(.999)) / 1e3, double(latency_.max()) / 1e3, self_cpu_, self_cpu_ / secs_,
             server_cpu_, server_cpu_ / secs_, d > 0 ? server_cpu_ / d * 1e6 : 0.0);
    if (o_.tree > 0) printf("\"tree_cpu_s\":%.2f,", tree_cpu_);
    if (secs_ > 0 && m_frames_ > 0) printf("\"frame_bytes\":%.0f,", double(m_bytes_) / double(m_frames_));
    if (commit_.count() > 0) {
      printf("\"commit_us\":{\"p50\":%.1f,\"p99\":%.1f},", double(commit_.quantile(.5)) / 1e3,
             double(commit_.quantile(.99)) / 1e3);
      if (since_commit_.count() > 0)
        printf("\"since_commit_us\":{\"p50\":%.1f,\"p95\":%.1f,\"p99\":%.1f,\"max\":%.1f},", double(since_commit_.quantile(.5)) / 1e3,
               double(since_commit_.quantile(.95)) / 1e3, double(since_commit_.quantile(.99)) / 1e3, double(since_commit_.max()) / 1e3);
    }
    printf("\"received\":%" PRIu64 ",\"expected\":%" PRIu64 ",\"gaps\":%" PRIu64 ",\"disorder\":%" PRIu64
           ",\"incomplete_conns\":%" PRIu64 ",\"closed\":%d}\n",
           received_, o_.no_publish ? received_ : expected_, gaps_, disorder_, incomplete, closed_);
    return ok ? 0 : 1;
  }

  const Options o_;
  const int ep_;
  std::vector<char> buf_;
  std::vector<Conn> conns_;
  std::string needle_;
  int in_handshake_ = 0, ready_ = 0, closed_ = 0;

  std::vector<uint64_t> subs_per_topic_, topic_seq_;
  std::string filler_;
  std::vector<std::string> pub_batch_;  // one per publisher
  int next_topic_ = 0;
  uint64_t events_ = 0, expected_ = 0, rate_start_ = 0, rate_count_ = 0;

  bool measuring_ = false;
  uint64_t measured_from_ = UINT64_MAX, measured_to_ = UINT64_MAX;  // events due in between
  uint64_t received_ = 0, bytes_ = 0, frames_ = 0, gaps_ = 0, disorder_ = 0;
  Histogram latency_;
  std::unique_ptr<row_publisher> rows_;
  std::vector<uint64_t> committed_at_;  // per event, of the one topic
  Histogram commit_, since_commit_;     // until the commit, from the commit to the client

  ProcUse server_before_, server_idle_, server_end_;
  double connect_secs_ = 0, hs_cpu_us_ = 0, kernel_per_conn_ = 0, secs_ = 0, self_cpu_ = 0, server_cpu_ = 0, tree_cpu_ = 0;
  uint64_t m_deliveries_ = 0, m_events_ = 0, m_bytes_ = 0, m_frames_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const Options o = parse_args(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  rlimit rl{};
  getrlimit(RLIMIT_NOFILE, &rl);
  const rlim_t want = rlim_t(o.conns) + 64;
  if (rl.rlim_cur < want) {
    rl.rlim_cur = want;
    rl.rlim_max = std::max(rl.rlim_max, want);
    if (setrlimit(RLIMIT_NOFILE, &rl)) die("cannot raise the file limit to %lu", static_cast<unsigned long>(want));
  }
  auto g = std::make_unique<Generator>(o);
  return g->run();
}
