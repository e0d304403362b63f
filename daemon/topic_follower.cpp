#include "daemon/topic_follower.hpp"

#include "daemon/json_members.hpp"
#include "protocol/base64url.hpp"
#include "protocol/codec.hpp"

#include <simdjson.h>

#include <array>
#include <optional>

namespace pgcast {
namespace {

namespace ondemand = simdjson::ondemand;
using step = topic_follower::step;

/// Without line breaks and blanks between tokens, so that an event is one line.
std::string on_one_line(std::string_view json) {
  std::string line(json.size(), '\0');
  std::size_t length = 0;
  if (simdjson::minify(json.data(), json.size(), line.data(), length) != simdjson::SUCCESS) {
    return "null";
  }
  line.resize(length);
  return line;
}

step event_line(std::string_view event, std::string_view payload_name, std::string_view json) {
  return {step::kind::event, "{\"event\":" + json_quote(event) + ",\"" + std::string(payload_name) +
                                 "\":" + on_one_line(json) + "}"};
}

/// The elements of a v2 message: join_ref, ref, topic, event, payload; texts without quotes.
struct server_message {
  std::array<std::string, 4> texts;  ///< "" for null
  std::string payload;
};

std::optional<server_message> parse(std::string_view message) {
  const simdjson::padded_string padded(message);
  ondemand::parser parser;
  ondemand::document document;
  ondemand::array array;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS) return std::nullopt;
  if (document.get_array().get(array) != simdjson::SUCCESS) return std::nullopt;
  server_message parsed;
  std::size_t i = 0;
  for (auto element : array) {
    ondemand::value value;
    if (i > 4 || element.get(value) != simdjson::SUCCESS) return std::nullopt;
    std::string_view text;
    if (i == 4) {
      if (simdjson::to_json_string(value).get(text) != simdjson::SUCCESS) return std::nullopt;
      parsed.payload = text;
    } else if (value.get_string().get(text) == simdjson::SUCCESS) {
      parsed.texts[i] = text;
    }
    ++i;
  }
  return i == 5 ? std::optional(parsed) : std::nullopt;
}

}  // namespace

topic_follower::topic_follower(std::string topic, std::vector<table_filter> tables, after_loss rule)
    : topic_("realtime:" + std::move(topic)), tables_(std::move(tables)), rule_(rule) {}

/// With `resume` also before there is a cursor: only then do rows carry theirs.
std::string topic_follower::table_filters() const {
  std::string all;
  for (const auto& [schema, table, filter] : tables_) {
    all += all.empty() ? "" : ",";
    all += R"({"event":"*","schema":)" + json_quote(schema);
    if (!table.empty()) all += ",\"table\":" + json_quote(table);
    if (!filter.empty()) all += ",\"filter\":" + json_quote(filter);
    if (rule_ == after_loss::resumes) all += ",\"resume\":" + json_quote(cursor_);
    all += '}';
  }
  return all;
}

std::string topic_follower::join(std::string_view token) {
  awaits_heartbeat_ = false;
  is_joined_ = false;
  last_warning_.clear();
  join_ref_ = std::to_string(next_ref_++);
  const bool resumes = tables_.empty() && !cursor_.empty();
  const auto resume = resumes ? ",\"resume\":" + json_quote(cursor_) : "";
  return "[\"" + join_ref_ + "\",\"" + join_ref_ + "\"," + json_quote(topic_) +
         R"(,"phx_join",{"config":{"broadcast":{"ack":false,"self":false)" + resume +
         R"(},"presence":{"key":"","enabled":false},"postgres_changes":[)" + table_filters() +
         R"(],"private":false},"access_token":)" + json_quote(token) + "}]";
}

std::string topic_follower::heartbeat() {
  awaits_heartbeat_ = true;
  return "[null,\"" + std::to_string(next_ref_++) + "\",\"phoenix\",\"heartbeat\",{}]";
}

step topic_follower::on_text(std::string_view message) {
  const auto parsed = parse(message);
  if (!parsed) return {};
  const auto& [join_ref, ref, topic, event] = parsed->texts;
  if (topic == "phoenix") {
    awaits_heartbeat_ = false;
    return {};
  }
  if (topic != topic_ || (!join_ref.empty() && join_ref != join_ref_)) return {};
  if (event == "phx_reply") return on_reply(ref, parsed->payload);
  return on_payload(event, parsed->payload);
}

step topic_follower::on_reply(std::string_view ref, std::string_view payload) {
  if (ref != join_ref_ || is_joined_) return {};
  if (text_of(payload, "status") == "ok") {
    is_joined_ = true;
    return {step::kind::joined, ""};
  }
  const auto reason = text_of(json_of(payload, "response"), "reason");
  return {step::kind::refused, reason.empty() ? "the server gives no reason" : reason};
}

step topic_follower::on_payload(std::string_view event, std::string_view payload) {
  if (event == "phx_close" || event == "phx_error") {
    return {step::kind::closed, last_warning_.empty() ? "the server closed it" : last_warning_};
  }
  if (event == "system") return on_system(payload);
  if (event == "postgres_changes") return on_change(payload);
  if (event != "broadcast") return {};
  const auto content = json_of(payload, "payload");
  if (auto cursor = text_of(content, "cursor"); !cursor.empty()) cursor_ = std::move(cursor);
  return event_line(text_of(payload, "event"), "payload", content.empty() ? "null" : content);
}

step topic_follower::on_system(std::string_view payload) {
  if (text_of(payload, "status") != "error") {
    if (text_of(payload, "extension") != "postgres_changes") return {};
    if (cursor_.empty()) cursor_ = text_of(payload, "cursor");  // where the changes begin
    return {step::kind::subscribed, ""};
  }
  const auto code = text_of(payload, "code");
  last_warning_ = (code.empty() ? "" : code + ": ") + text_of(payload, "message");
  return {step::kind::warning, last_warning_};
}

step topic_follower::on_change(std::string_view payload) {
  auto change = json_of(payload, "data");
  for (const auto* row : {"record", "old_record"}) {
    auto cursor =
        rule_ == after_loss::resumes ? text_of(json_of(change, row), "_pgcast_cursor") : "";
    if (!cursor.empty()) cursor_ = std::move(cursor);
  }
  return {step::kind::change, std::move(change)};
}

step topic_follower::on_binary(std::string_view message) {
  // Kind 4: five bytes of lengths and encoding, then topic, event, metadata, payload.
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(message[i]); };
  if (message.size() < 5 || byte(0) != 4) return {};
  const std::size_t topic_bytes = byte(1);
  const std::size_t event_bytes = byte(2);
  const std::size_t metadata_bytes = byte(3);
  const bool is_json = byte(4) == 1;
  message.remove_prefix(5);
  if (message.size() < topic_bytes + event_bytes + metadata_bytes) return {};
  if (message.substr(0, topic_bytes) != topic_) return {};
  const auto event = message.substr(topic_bytes, event_bytes);
  const auto content = message.substr(topic_bytes + event_bytes + metadata_bytes);
  if (!is_json)
    return event_line(event, "payload_base64url", json_quote(base64url_encode(content)));
  if (auto cursor = text_of(content, "cursor"); !cursor.empty()) cursor_ = std::move(cursor);
  return event_line(event, "payload", content);
}

}  // namespace pgcast
