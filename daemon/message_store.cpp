#include "daemon/message_store.hpp"

#include "daemon/source_session.hpp"

#include <array>

namespace pgcast {
namespace asio = boost::asio;
namespace {

std::string hex_bytea(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "\\x";
  out.reserve(2 + 2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

pg_statement insert_of(requested_broadcast b, std::string id) {
  using value = std::optional<std::string>;
  const bool is_json = b.encoding == payload_encoding::json;
  const value bytes = is_json ? value{} : hex_bytea(b.payload);
  const value json = is_json ? value{std::move(b.payload)} : value{};
  const bool has_ttl = b.keep && b.keep->ttl;
  std::vector<value> parameters{std::move(b.to.name),
                                std::move(b.event),
                                json,
                                bytes,
                                b.to.is_private ? "true" : "false",
                                has_ttl ? value{std::to_string(b.keep->ttl->count())} : value{},
                                std::move(id)};
  return {
      "SELECT pgcast.keep_broadcast($1, $2, $3::jsonb, $4::bytea, $5::boolean,"
      " make_interval(secs => $6::double precision), $7::uuid)",
      std::move(parameters)};
}

/// By the SQLSTATE in front of the sentence.
error explain(error e) {
  if (e.code != errc::query_failed) return e;
  for (const std::string_view state : {"22", "54"}) {
    if (e.detail.starts_with(state)) return {errc::payload_malformed, std::move(e.detail)};
  }
  for (const std::string_view state : {"42883", "42P01", "3F000"}) {
    if (!e.detail.starts_with(state)) continue;
    return {
        errc::not_installed,
        "messages are kept in the table realtime.messages, which is missing or not relayed: run "
        "pgcast install, then pgcast check"};
  }
  return e;
}

}  // namespace

asio::awaitable<result<void>> message_store::keep(requested_broadcast b, std::string id) {
  auto leased = co_await pool_.acquire();
  if (!leased) co_return leased.error();
  std::vector<pg_statement> statements;
  statements.push_back(insert_of(std::move(b), std::move(id)));
  auto rows = co_await leased->pg().run(std::move(statements), k_answer_timeout);
  if (!rows) co_return explain(rows.error());
  co_return result<void>{};
}

}  // namespace pgcast
