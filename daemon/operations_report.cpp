#include "daemon/operations_report.hpp"

#include "daemon/metrics.hpp"
#include "protocol/codec.hpp"
#include "protocol/sql_time.hpp"

#include <algorithm>

namespace pgcast {
namespace {

/// Writes members of an object or elements of an array, with the commas between them.
class json_writer {
 public:
  explicit json_writer(std::string& out) : out_(out) {}

  std::string& member(std::string_view name) {
    comma();
    append_json_quoted(out_, name);
    return out_ += ':';
  }
  std::string& element() {
    comma();
    return out_;
  }
  void text(std::string_view name, std::string_view value) {
    append_json_quoted(member(name), value);
  }
  void number(std::string_view name, std::size_t value) { member(name) += std::to_string(value); }
  void boolean(std::string_view name, bool value) { member(name) += value ? "true" : "false"; }

 private:
  void comma() {
    if (out_.back() != '{' && out_.back() != '[') out_ += ',';
  }
  std::string& out_;
};

/// `write(json_writer&)` fills it.
template <class Write>
void object(std::string& out, Write write) {
  out += '{';
  json_writer members(out);
  write(members);
  out += '}';
}

template <class Values, class Write>
void array(std::string& out, const Values& values, Write write) {
  out += '[';
  json_writer elements(out);
  for (const auto& value : values) write(elements.element(), value);
  out += ']';
}

std::string seconds_or_null(const std::optional<std::chrono::microseconds>& lag) {
  return lag ? seconds_text(lag->count()) : "null";
}

void write_lag(std::string& out, const told_lag& lag) {
  object(out, [&](json_writer& w) {
    w.member("newest") += seconds_or_null(lag.newest);
    w.member("longest") += seconds_or_null(lag.longest);
  });
}

/// The slowest thread's.
told_lag slowest(const std::vector<thread_report>& threads) {
  told_lag out;
  for (const auto& t : threads) {
    out.newest = std::max(out.newest, t.lag.newest);
    out.longest = std::max(out.longest, t.lag.longest);
  }
  return out;
}

void write_thread(std::string& out, const thread_report& t) {
  object(out, [&](json_writer& w) {
    w.number("connections", t.connections);
    w.number("topics", t.topics);
    w.number("queued_bytes", t.queued_bytes);
    w.number("slow_clients", t.slow_clients);
    w.number("waiting_chunks", t.waiting_chunks);
    write_lag(w.member("lag"), t.lag);
  });
}

std::string_view operation_name(operation op) {
  switch (op) {
    case operation::insert:
      return "INSERT";
    case operation::update:
      return "UPDATE";
    case operation::remove:
      return "DELETE";
    case operation::truncate:
      return "TRUNCATE";
    case operation::broadcast:
      return "BROADCAST";
  }
  return "";
}

void write_event_members(json_writer& w, const traced_event& e) {
  w.text("id", std::to_string(e.id));
  w.text("schema", e.schema);
  w.text("table", e.table);
  w.text("operation", operation_name(e.op));
  w.text("commit_timestamp", e.commit_timestamp);
  w.text("read_at", time_text(e.read_at));
  array(w.member("topics"), e.topics, [](std::string& out, const auto& topic) {
    object(out, [&](json_writer& m) {
      m.text("topic", topic.key);
      m.boolean("old", topic.had_old);
      m.boolean("new", topic.has_new);
    });
  });
}

void write_handed(std::string& out, const std::optional<handed_event>& handed) {
  if (!handed) {
    out += "null";
    return;
  }
  object(out, [&](json_writer& w) {
    w.number("subscribers", handed->subscribers);
    w.number("changes", handed->changes);
    w.text("published_at", time_text(handed->published_at));
  });
}

void write_source(std::string& out, const source_report& source) {
  object(out, [&](json_writer& w) {
    w.text("state", source.state);
    w.text("detail", source.detail);
    w.boolean("ready", source.is_ready);
    w.text("reason", source.reason);
  });
}

}  // namespace

std::string encode_operations(const operations_report& r) {
  std::string out;
  object(out, [&](json_writer& w) {
    w.text("at", time_text(r.at));
    w.text("version", r.version);
    w.text("started_at", time_text(r.started_at));
    write_source(w.member("source"), r.source);
    object(w.member("lag"), [&](json_writer& lags) {
      write_lag(lags.member("read"), r.read_lag);
      write_lag(lags.member("publish"), slowest(r.threads));
    });
    array(w.member("threads"), r.threads, write_thread);
    array(w.member("topics"), r.topics, [](std::string& to, const topic_audience& t) {
      object(to, [&](json_writer& m) {
        m.text("topic", t.topic);
        m.number("subscribers", t.subscribers);
      });
    });
    array(w.member("events"), r.events, [](std::string& to, const traced_event* e) {
      object(to, [&](json_writer& m) { write_event_members(m, *e); });
    });
    array(w.member("problems"), r.problems, [](std::string& to, const log_record& p) {
      object(to, [&](json_writer& m) {
        m.text("at", time_text(p.at));
        m.text("level", p.level);
        m.text("message", p.message);
      });
    });
    w.member("metrics") += encode_metrics(metrics());
  });
  return out;
}

std::string encode_trace(const traced_event& e,
                         const std::vector<std::optional<handed_event>>& handed) {
  std::string out;
  object(out, [&](json_writer& w) {
    write_event_members(w, e);
    array(w.member("threads"), handed, write_handed);
  });
  return out;
}

}  // namespace pgcast
