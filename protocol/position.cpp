#include "protocol/position.hpp"

#include "protocol/base64url.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace pgcast {
namespace {

constexpr char k_cursor_version = 1;
constexpr std::size_t k_check_bytes = 8;
constexpr std::size_t k_max_cursor_bytes = 768;  // 1,024 characters of base64

void put_varint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

class byte_reader {
 public:
  explicit byte_reader(std::string_view bytes) : rest_(bytes) {}

  std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fU} << shift;
      if ((byte & 0x80U) == 0) return value;
    }
    return std::nullopt;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

void put_snapshot(std::string& out, const pg_snapshot& s) {
  put_varint(out, s.xmin());
  put_varint(out, s.xmax() - s.xmin());
  put_varint(out, s.running().size());
  std::uint64_t previous = s.xmin();
  for (const auto xid : s.running()) {
    put_varint(out, xid - previous);
    previous = xid;
  }
}

std::optional<pg_snapshot> get_snapshot(byte_reader& in) {
  const auto xmin = in.varint();
  const auto span = in.varint();
  const auto count = in.varint();
  if (!xmin || !span || !count || *count > k_max_cursor_bytes) return std::nullopt;
  std::vector<std::uint64_t> running;
  std::uint64_t previous = *xmin;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto delta = in.varint();
    if (!delta) return std::nullopt;
    previous += *delta;
    if (previous >= *xmin + *span) return std::nullopt;
    running.push_back(previous);
  }
  return pg_snapshot{*xmin, *xmin + *span, std::move(running)};
}

/// The keyed hash behind a cursor, cut to eight bytes: it keeps honest clients honest; what a
/// cursor opens is decided by row-level security alone.
std::string check_value(std::string_view body, const std::string& key) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(body.data()), body.size(), digest, &size);
  return {reinterpret_cast<const char*>(digest), k_check_bytes};
}

std::string cursor_body(const position& p, std::uint64_t epoch) {
  std::string body(1, k_cursor_version);
  for (int shift = 56; shift >= 0; shift -= 8) body += static_cast<char>(epoch >> shift);
  put_varint(body, p.incarnation);
  put_varint(body, p.id);
  put_snapshot(body, *p.s1);
  if (*p.s1 != *p.s2) put_snapshot(body, *p.s2);
  return body;
}

/// Keeps only the first half of the running transactions by lowering xmax to the first one cut.
pg_snapshot halved(const pg_snapshot& s) {
  if (s.running().empty()) return s;
  return s.clamped(s.running()[s.running().size() / 2]);
}

error invalid_cursor() { return {errc::cursor_invalid, "the cursor is not one of this service"}; }

}  // namespace

pg_snapshot::pg_snapshot(std::uint64_t xmin, std::uint64_t xmax, std::vector<std::uint64_t> running)
    : xmin_(xmin), xmax_(xmax), running_(std::move(running)) {}

result<pg_snapshot> pg_snapshot::parse(std::string_view text) {
  std::vector<std::uint64_t> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    std::uint64_t value = 0;
    const auto [next, failed] = std::from_chars(at, end, value);
    if (failed != std::errc{}) return error{errc::cursor_invalid, "not a snapshot"};
    numbers.push_back(value);
    at = next;
    if (at != end) ++at;  // ':' or ','
  }
  if (numbers.size() < 2 || numbers[0] > numbers[1]) {
    return error{errc::cursor_invalid, "not a snapshot"};
  }
  return pg_snapshot{numbers[0], numbers[1], {numbers.begin() + 2, numbers.end()}};
}

std::string pg_snapshot::text() const {
  std::string out = std::to_string(xmin_) + ':' + std::to_string(xmax_) + ':';
  for (const auto xid : running_) {
    if (out.back() != ':') out += ',';
    out += std::to_string(xid);
  }
  return out;
}

std::string pg_snapshot::running_array() const {
  std::string out = "{";
  for (const auto xid : running_) {
    if (out.size() > 1) out += ',';
    out += std::to_string(xid);
  }
  return out + '}';
}

bool pg_snapshot::sees(std::uint64_t xid) const {
  if (xid < xmin_) return true;
  if (xid >= xmax_) return false;
  return !std::binary_search(running_.begin(), running_.end(), xid);
}

bool pg_snapshot::covers(const pg_snapshot& other) const {
  for (const auto xid : running_) {
    if (other.sees(xid)) return false;
  }
  if (xmax_ >= other.xmax_) return true;
  const auto first = std::lower_bound(other.running_.begin(), other.running_.end(), xmax_);
  return static_cast<std::uint64_t>(other.running_.end() - first) == other.xmax_ - xmax_;
}

pg_snapshot pg_snapshot::clamped(std::uint64_t first_xid) const {
  if (xmax_ <= first_xid) return *this;
  const auto end = std::lower_bound(running_.begin(), running_.end(), first_xid);
  return {std::min(xmin_, first_xid), first_xid, {running_.begin(), end}};
}

position position::at(std::uint32_t incarnation, std::shared_ptr<const pg_snapshot> s) {
  position p;
  p.incarnation = incarnation;
  p.s1 = s;
  p.s2 = std::move(s);
  return p;
}

bool position::covers(std::uint64_t xid, std::uint64_t event_id) const {
  return s1->sees(xid) || (event_id <= id && s2->sees(xid));
}

bool position::is_kept(std::uint64_t dropped_xid, const pg_snapshot& now) const {
  // Transactions that were open at the place may have ended, and been dropped, since.
  return dropped_xid == 0 || s1->covers(now.clamped(dropped_xid + 1));
}

position position::in(const source_history& history) const {
  position out = *this;
  for (const auto& i : history.incarnations) {
    if (i.number <= incarnation) continue;
    const bool is_one = out.s1 == out.s2;
    out.s1 = std::make_shared<pg_snapshot>(out.s1->clamped(i.first_xid));
    out.s2 = is_one ? out.s1 : std::make_shared<pg_snapshot>(out.s2->clamped(i.first_xid));
    out.incarnation = i.number;
  }
  return out;
}

position earliest(const std::vector<position>& places) {
  if (places.size() == 1) return places.front();
  auto incarnation = places.front().incarnation;
  std::uint64_t xmax = places.front().s1->xmax();
  for (const auto& p : places) {
    incarnation = std::min(incarnation, p.incarnation);
    xmax = std::min(xmax, p.s1->xmax());
  }
  std::vector<std::uint64_t> unseen;
  for (const auto& p : places) {
    for (const auto xid : p.s1->running()) {
      if (xid < xmax) unseen.push_back(xid);
    }
  }
  std::sort(unseen.begin(), unseen.end());
  unseen.erase(std::unique(unseen.begin(), unseen.end()), unseen.end());
  const auto xmin = unseen.empty() ? xmax : unseen.front();
  return position::at(incarnation, std::make_shared<pg_snapshot>(xmin, xmax, std::move(unseen)));
}

std::string encode_cursor(const position& p, const source_history& history) {
  std::string body = cursor_body(p, history.epoch);
  position shortened = p;
  while (body.size() + k_check_bytes > k_max_cursor_bytes) {
    if (shortened.s1->running().size() > shortened.s2->running().size()) {
      shortened.s1 = std::make_shared<pg_snapshot>(halved(*shortened.s1));
    } else {
      shortened.s2 = std::make_shared<pg_snapshot>(halved(*shortened.s2));
      shortened.s1 = std::make_shared<pg_snapshot>(shortened.s1->clamped(shortened.s2->xmax()));
    }
    body = cursor_body(shortened, history.epoch);
  }
  body += check_value(body, history.cursor_key);
  return base64url_encode(body);
}

result<position> decode_cursor(std::string_view text, const source_history& history) {
  if (text.empty() || text.size() > 1'024) return invalid_cursor();
  const auto decoded = base64url_decode(text);
  if (!decoded) return invalid_cursor();
  std::string_view bytes = *decoded;
  if (bytes.size() < 1 + 8 + k_check_bytes || bytes[0] != k_cursor_version) return invalid_cursor();
  std::uint64_t epoch = 0;
  for (std::size_t i = 1; i <= 8; ++i) epoch = epoch << 8 | static_cast<unsigned char>(bytes[i]);
  if (epoch != history.epoch) {
    return error{errc::cursor_foreign,
                 "the cursor belongs to another database or to the time "
                 "before it was restored"};
  }
  const auto body = bytes.substr(0, bytes.size() - k_check_bytes);
  if (check_value(body, history.cursor_key) != bytes.substr(body.size())) return invalid_cursor();

  byte_reader in(body.substr(9));
  const auto number = in.varint();
  const auto id = in.varint();
  auto s1 = get_snapshot(in);
  if (!number || !id || !s1) return invalid_cursor();
  position p = position::at(static_cast<std::uint32_t>(*number),
                            std::make_shared<pg_snapshot>(*std::move(s1)));
  if (!in.at_end()) {
    auto s2 = get_snapshot(in);
    if (!s2 || !in.at_end()) return invalid_cursor();
    p.s2 = std::make_shared<pg_snapshot>(*std::move(s2));
  }
  p.id = *id;
  if (p.incarnation > history.current()) {
    return error{errc::cursor_ahead, "the cursor is ahead of the database"};
  }
  p = p.in(history);
  if (history.dropped_xid != 0 && !p.s1->sees(history.dropped_xid)) {
    return error{errc::cursor_too_old, "events after the cursor are no longer kept"};
  }
  return p;
}

}  // namespace pgcast
