#include "daemon/config.hpp"

#include "daemon/config_text.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>

namespace pgcast {
namespace {

constexpr auto k_default_file = "/etc/pgcast/pgcast.toml";
constexpr std::size_t k_secret_file_bytes = 65'536;

/// One value as somebody wrote it, before it is parsed.
struct given {
  std::string text;
  std::string origin;       ///< as in config_entry
  std::string written_as;   ///< for sentences: "pgcast.toml:3: server.drain", "PGCAST_DRAIN"
  bool is_in_file = false;  ///< text is the path of a file that holds the value
};

using layer = std::map<std::string, given>;  ///< by key

error invalid(std::string sentence) { return {errc::config_invalid, std::move(sentence)}; }

const setting* find_setting(std::string_view key) {
  const auto all = settings();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const setting& s) { return s.key == key; });
  return found == all.end() ? nullptr : &*found;
}

/// "auth.jwt_secret_file" names where auth.jwt_secret is.
const setting* find_setting_of_file_key(std::string_view key) {
  if (!key.ends_with("_file")) return nullptr;
  const auto* s = find_setting(key.substr(0, key.size() - 5));
  return s != nullptr && s->is_secret ? s : nullptr;
}

// ---- unknown keys -------------------------------------------------------------------------------

/// Edits (insert, delete, replace) that make b of a.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const auto replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string_view section_of(std::string_view key) { return key.substr(0, key.find('.')); }
std::string_view name_of(std::string_view key) { return key.substr(key.find('.') + 1); }

std::string list_keys(std::string_view section) {
  std::string names;
  for (const auto& s : settings()) {
    if (section_of(s.key) != section) continue;
    names += (names.empty() ? "" : ", ") + std::string(name_of(s.key));
    if (s.is_secret) names += ", " + std::string(name_of(s.key)) + "_file";
  }
  return names;
}

std::string list_sections() {
  std::vector<std::string> sections;
  for (const auto& s : settings()) {
    const std::string section(section_of(s.key));
    if (sections.empty() || sections.back() != section) sections.push_back(section);
  }
  std::string text;
  for (const auto& section : sections) text += (text.empty() ? "[" : ", [") + section + "]";
  return text;
}

/// "unknown key server.lisen; did you mean server.listen?"
std::string unknown_key(const std::string& key) {
  const setting* nearest = nullptr;
  std::size_t least = 4;
  for (const auto& s : settings()) {
    // The right name in a wrong section, or without one, is near, too.
    const auto edits = name_of(s.key) == name_of(key) ? 1 : distance(s.key, key);
    if (edits < least && edits * 3 <= s.key.size()) nearest = &s, least = edits;
  }
  const std::string start = "unknown key " + key + "; ";
  if (nearest != nullptr) return start + "did you mean " + nearest->key + "?";
  const auto names = list_keys(section_of(key));
  if (names.empty()) return start + "the sections are " + list_sections();
  return start + "the keys of [" + std::string(section_of(key)) + "] are " + names;
}

// ---- the file -----------------------------------------------------------------------------------

std::optional<std::string> text_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
  const auto* array = node.as_array();
  if (array == nullptr) return std::nullopt;
  std::string joined;
  for (const auto& element : *array) {
    const auto* text = element.as_string();
    if (text == nullptr || text->get().find(',') != std::string::npos) return std::nullopt;
    joined += (joined.empty() ? "" : ",") + text->get();
  }
  return joined;
}

struct file_key {
  std::string key;
  const toml::node* node;
};

/// Every leaf of the table, and every table that stands where a value should.
void collect(const toml::table& table, const std::string& prefix, std::vector<file_key>& keys) {
  for (auto&& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    const auto* inner = node.as_table();
    if (inner != nullptr && !inner->empty() && find_setting(key) == nullptr) {
      collect(*inner, key + ".", keys);
    } else if (inner == nullptr || list_keys(key).empty()) {
      keys.push_back({key, &node});
    }
  }
}

unsigned line_of(const file_key& k) { return k.node->source().begin.line; }

result<void> add_file_key(const file_key& k, const std::string& file, layer& values) {
  const auto place = file + ":" + std::to_string(line_of(k));
  const setting* s = find_setting(k.key);
  const setting* of_file = s == nullptr ? find_setting_of_file_key(k.key) : nullptr;
  if (s == nullptr && of_file == nullptr) return invalid(place + ": " + unknown_key(k.key));
  const setting& known = s != nullptr ? *s : *of_file;
  const auto text = text_of(*k.node);
  if (!text) {
    return invalid(place + ": " + k.key + " must be a text, a whole number or a list of texts: " +
                   (of_file != nullptr ? "it takes a path" : "it takes " + known.accepted));
  }
  const given value{*text, "file " + place, place + ": " + k.key, of_file != nullptr};
  if (!values.emplace(known.key, value).second) {
    return invalid(place + ": " + known.key + " and " + known.key +
                   "_file are both set; keep one of them");
  }
  return {};
}

result<layer> read_file(const std::string& file) {
  layer values;
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream content;
  std::error_code ignored;
  if (stream) content << stream.rdbuf();
  if (!stream || content.bad() || std::filesystem::is_directory(file, ignored)) {
    return invalid(file + " cannot be read; give an existing, readable TOML file with --config");
  }
  try {
    const toml::table table = toml::parse(content.str(), file);
    std::vector<file_key> keys;
    collect(table, "", keys);
    std::stable_sort(keys.begin(), keys.end(),
                     [](const file_key& a, const file_key& b) { return line_of(a) < line_of(b); });
    for (const auto& key : keys) {
      if (const auto added = add_file_key(key, file, values); !added) return added.error();
    }
  } catch (const toml::parse_error& e) {
    return invalid(file + ":" + std::to_string(e.source().begin.line) +
                   ": not valid TOML: " + std::string(e.description()));
  }
  return values;
}

// ---- environment and flags ----------------------------------------------------------------------

result<void> add_variable(const setting& s, const std::string& name, bool is_in_file,
                          layer& values) {
  const char* text = std::getenv(name.c_str());
  if (text == nullptr || *text == '\0') return {};
  const auto [old, is_new] =
      values.emplace(s.key, given{text, "environment " + name, name, is_in_file});
  if (!is_new && (old->second.text != text || old->second.is_in_file != is_in_file)) {
    return invalid(old->second.written_as + " and " + name + " both set " + s.key +
                   "; keep one of them");
  }
  return {};
}

result<layer> read_environment() {
  layer values;
  for (const auto& s : settings()) {
    for (const auto& name : {s.short_environment, s.long_environment()}) {
      if (name.empty()) continue;
      if (const auto added = add_variable(s, name, false, values); !added) return added.error();
      if (!s.is_secret) continue;
      if (const auto added = add_variable(s, name + "_FILE", true, values); !added) {
        return added.error();
      }
    }
  }
  return values;
}

result<layer> read_flags(const std::map<std::string, std::string>& flags) {
  layer values;
  for (const auto& [key, text] : flags) {
    if (find_setting(key) == nullptr) return invalid(unknown_key(key));
    std::string name = "--" + std::string(key == "database.url" ? "database-url" : name_of(key));
    if (section_of(key) == "log") name = "--log-" + std::string(name_of(key));
    std::replace(name.begin(), name.end(), '_', '-');
    values.emplace(key, given{text, "flag " + name, name, false});
  }
  return values;
}

// ---- from text to values ------------------------------------------------------------------------

/// The content of the file that `value` names, without the line break at its end.
result<std::string> read_secret_file(const given& value) {
  std::ifstream stream(value.text, std::ios::binary);
  std::string content(k_secret_file_bytes + 1, '\0');
  stream.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<std::size_t>(stream.gcount()));
  if (stream.bad() || (content.empty() && !stream.eof())) {
    return invalid(value.written_as + " names " + value.text +
                   ", which cannot be read; give a file that the daemon may read");
  }
  if (content.ends_with('\n')) content.pop_back();
  if (content.ends_with('\r')) content.pop_back();
  if (content.empty() || content.size() > k_secret_file_bytes) {
    return invalid(value.written_as + " names " + value.text + ", which is " +
                   (content.empty() ? "empty" : "larger than 64 KiB") +
                   "; put the value and nothing else into it");
  }
  return content;
}

result<void> apply(const setting& s, const given& value, config& c) {
  std::string text = value.text;
  if (value.is_in_file) {
    auto content = read_secret_file(value);
    if (!content) return content.error();
    text = std::move(*content);
  }
  if (s.parse(text, c)) return {};
  const auto shown = s.is_secret ? "" : " = \"" + text + "\"";
  return invalid(value.written_as + shown + " is not accepted; it takes " + s.accepted);
}

std::string origin_of(const given& value) {
  return value.is_in_file ? "file " + value.text + ", named by " + value.written_as : value.origin;
}

/// What no key can say alone.
result<void> check_together(const config& c) {
  const auto& roles = c.tokens.roles;
  if (roles.empty()) return invalid("auth.roles is empty; name at least one role");
  for (const auto& [key, role] : c.tokens.api_keys) {
    if (std::find(roles.begin(), roles.end(), role) == roles.end()) {
      return invalid("auth.api_keys names the role \"" + role +
                     "\", which is not in auth.roles; add it there or use one of " +
                     format_list(roles));
    }
  }
  const auto clients = parse_listen(c.listen);
  if (c.listen == c.admin_listen && (!clients->unix_path.empty() || clients->port != 0)) {
    return invalid("server.listen and server.admin_listen are both " + c.listen +
                   "; give them different addresses");
  }
  if (c.limits.queue_bytes > c.limits.queues_bytes) {
    return invalid(
        "limits.queue_bytes is larger than limits.queues_bytes; one client's queue "
        "must fit into what all may use");
  }
  return {};
}

}  // namespace

result<loaded_config> load_config(const std::string& file,
                                  const std::map<std::string, std::string>& flags) {
  std::vector<layer> layers;  // the strongest first
  auto from_flags = read_flags(flags);
  if (!from_flags) return from_flags.error();
  layers.push_back(std::move(*from_flags));
  auto from_environment = read_environment();
  if (!from_environment) return from_environment.error();
  layers.push_back(std::move(*from_environment));
  std::error_code ignored;
  if (!file.empty() || std::filesystem::exists(k_default_file, ignored)) {
    auto from_file = read_file(file.empty() ? k_default_file : file);
    if (!from_file) return from_file.error();
    layers.push_back(std::move(*from_file));
  }

  loaded_config loaded{default_config(), {}};
  for (const auto& s : settings()) {
    std::string origin = "default";
    // The weakest first: a bad value is refused also where a stronger one hides it.
    for (auto values = layers.rbegin(); values != layers.rend(); ++values) {
      const auto value = values->find(s.key);
      if (value == values->end()) continue;
      if (const auto set = apply(s, value->second, loaded.values); !set) return set.error();
      origin = origin_of(value->second);
    }
    loaded.entries.push_back({s.key, s.format(loaded.values), origin});
  }
  if (const auto together = check_together(loaded.values); !together) return together.error();
  return loaded;
}

result<void> check_serving(const config& c) {
  if (c.mode == auth_mode::rls && c.tokens.secrets.empty() && c.jwks.empty()) {
    return invalid(
        "auth.jwt_secret is not set; put the secret that signs your tokens into "
        "PGCAST_JWT_SECRET, PGCAST_JWT_SECRET_FILE or the configuration file, or name the public "
        "keys of their issuer with auth.jwks (PGCAST_JWKS)");
  }
  const auto clients = parse_listen(c.listen);
  if (c.mode == auth_mode::off && (!clients || !clients->is_loopback())) {
    return invalid(
        "auth.mode = off treats everybody as service_role and so needs a loopback "
        "listener, but server.listen is " +
        c.listen + "; listen on 127.0.0.1 or use auth.mode = rls");
  }
  return {};
}

}  // namespace pgcast
