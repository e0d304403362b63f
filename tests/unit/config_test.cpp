#include "daemon/config.hpp"
#include "daemon/config_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <thread>

namespace pgcast {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// A directory for the files of one test, and an environment that is as before afterwards.
class Config : public testing::Test {
 protected:
  Config() {
    std::string name = (std::filesystem::temp_directory_path() / "pgcast_config_XXXXXX").string();
    directory_ = mkdtemp(name.data());
    for (const auto& s : settings()) {
      for (const auto& variable : {s.short_environment, s.long_environment()}) {
        if (!variable.empty()) unsetenv(variable.c_str()), unsetenv((variable + "_FILE").c_str());
      }
    }
  }
  ~Config() override {
    for (const auto& name : set_) unsetenv(name.c_str());
    std::filesystem::remove_all(directory_);
  }

  std::string write(const std::string& content, const std::string& name = "pgcast.toml") {
    const auto path = directory_ / name;
    std::ofstream(path) << content;
    return path.string();
  }
  void set_variable(const std::string& name, const std::string& value) {
    setenv(name.c_str(), value.c_str(), 1);
    set_.push_back(name);
  }
  /// The sentence for a file with this content; the file is called pgcast.toml in it.
  std::string sentence(const std::string& content) {
    const auto loaded = load_config(write(content), {});
    if (loaded) return "accepted";
    EXPECT_EQ(loaded.error().code, errc::config_invalid);
    return std::regex_replace(loaded.error().detail, std::regex(directory_.string() + "/"), "");
  }
  config load(const std::string& content) { return load_config(write(content), {}).value().values; }

  static config_entry entry(const loaded_config& loaded, const std::string& key) {
    const auto found = std::find_if(loaded.entries.begin(), loaded.entries.end(),
                                    [&](const auto& e) { return e.key == key; });
    return found == loaded.entries.end() ? config_entry{} : *found;
  }

  std::filesystem::path directory_;
  std::vector<std::string> set_;
};

std::string content_of(const std::string& path) {
  std::ostringstream content;
  content << std::ifstream(std::string(PGCAST_SOURCE_DIR) + "/" + path).rdbuf();
  return content.str();
}

TEST_F(Config, NothingSet_GivesDefaults) {
  const auto c = load("");
  EXPECT_EQ(c.listen, "127.0.0.1:4000");
  EXPECT_EQ(c.threads, std::max(1U, std::thread::hardware_concurrency()));
  EXPECT_THAT(c.tokens.roles, testing::ElementsAre("anon", "authenticated", "service_role"));
  EXPECT_TRUE(c.tokens.secrets.empty());
  EXPECT_EQ(c.limits.queue_bytes, limit_config{}.queue_bytes);
}

TEST_F(Config, EveryDefault_IsAcceptedBySettingItself) {
  for (const auto& s : settings()) {
    config c = default_config();
    const auto text = s.format(c);
    if (text.empty()) continue;
    EXPECT_TRUE(s.parse(text, c)) << s.key << " = " << text;
    EXPECT_EQ(s.format(c), text) << s.key;
  }
}

TEST_F(Config, File_SetsEveryKindOfValue) {
  const auto c = load(R"(
    [database]
    url = "host=db dbname=app"
    [server]
    listen = "unix:/run/pgcast.sock"
    threads = 3
    allowed_origins = ["https://a.example", "http://b.example:8080"]
    trusted_proxies = "10.0.0.0/8, ::1"
    drain = "1500ms"
    [auth]
    jwt_secret = "old,new"
    mode = "off"
    api_keys = ["sb_publishable_1=anon", "sb_secret_1=service_role"]
    [outbox]
    retention = "2d"
    [limits]
    message_bytes = 100000
    queue_bytes = "64KiB"
    [log]
    level = "debug"
    format = "json"
  )");
  EXPECT_EQ(c.database_url, "host=db dbname=app");
  EXPECT_EQ(c.listen, "unix:/run/pgcast.sock");
  EXPECT_EQ(c.threads, 3U);
  EXPECT_THAT(c.allowed_origins,
              testing::ElementsAre("https://a.example", "http://b.example:8080"));
  EXPECT_THAT(c.trusted_proxies, testing::ElementsAre("10.0.0.0/8", "::1"));
  EXPECT_EQ(c.drain, 1500ms);
  EXPECT_THAT(c.tokens.secrets, testing::ElementsAre("old", "new"));
  EXPECT_EQ(c.mode, auth_mode::off);
  EXPECT_EQ(c.tokens.api_keys.at("sb_secret_1"), "service_role");
  EXPECT_EQ(c.retention, 48h);
  EXPECT_EQ(c.limits.message_bytes, 100'000U);
  EXPECT_EQ(c.limits.queue_bytes, 65'536U);
  EXPECT_EQ(c.format, log_format::json);
}

TEST_F(Config, Environment_OverridesFileAndFlagsOverrideBoth) {
  const auto file = write("[server]\nlisten = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:2\"\n");
  set_variable("PGCAST_LISTEN", "127.0.0.1:3");
  set_variable("PGCAST_SERVER_THREADS", "7");
  const auto loaded = load_config(file, {{"server.threads", "9"}}).value();
  EXPECT_EQ(loaded.values.listen, "127.0.0.1:3");
  EXPECT_EQ(loaded.values.threads, 9U);
  EXPECT_EQ(entry(loaded, "server.listen").origin, "environment PGCAST_LISTEN");
  EXPECT_EQ(entry(loaded, "server.admin_listen").origin, "file " + file + ":3");
  EXPECT_EQ(entry(loaded, "server.threads").origin, "flag --threads");
  EXPECT_EQ(entry(loaded, "server.drain").origin, "default");
}

TEST_F(Config, EmptyVariable_IsNotSet) {
  set_variable("PGCAST_LISTEN", "");
  EXPECT_EQ(load("").listen, "127.0.0.1:4000");
}

TEST_F(Config, ShortAndLongVariable_MayNotContradict) {
  set_variable("PGCAST_LISTEN", "127.0.0.1:3");
  set_variable("PGCAST_SERVER_LISTEN", "127.0.0.1:4");
  EXPECT_EQ(sentence(""),
            "PGCAST_LISTEN and PGCAST_SERVER_LISTEN both set server.listen; keep one of them");
}

TEST_F(Config, LocalhostListener_BecomesAddress) {
  EXPECT_EQ(load("[server]\nlisten = \"localhost:4100\"").listen, "127.0.0.1:4100");
}

TEST_F(Config, SecretFile_LosesLineBreakAtItsEnd) {
  set_variable("PGCAST_JWT_SECRET_FILE", write("s3cret\n", "secret"));
  set_variable("PGCAST_DATABASE_URL_FILE", write("host=db password=x\r\n", "url"));
  const auto loaded = load_config(write(""), {}).value();
  EXPECT_THAT(loaded.values.tokens.secrets, testing::ElementsAre("s3cret"));
  EXPECT_EQ(loaded.values.database_url, "host=db password=x");
  EXPECT_EQ(entry(loaded, "auth.jwt_secret").origin,
            "file " + (directory_ / "secret").string() + ", named by PGCAST_JWT_SECRET_FILE");
}

TEST_F(Config, SecretFileKey_WorksInFile) {
  const auto secret = write("from-file", "secret");
  EXPECT_THAT(load("[auth]\njwt_secret_file = \"" + secret + "\"").tokens.secrets,
              testing::ElementsAre("from-file"));
}

TEST_F(Config, UnreadableSecretFile_IsNamed) {
  EXPECT_EQ(
      sentence("[auth]\njwt_secret_file = \"/nowhere/secret\""),
      "pgcast.toml:2: auth.jwt_secret_file names /nowhere/secret, which cannot be read; give a "
      "file that the daemon may read");
  EXPECT_THAT(sentence("[auth]\njwt_secret_file = \"" + write("", "empty") + "\""),
              HasSubstr("empty, which is empty; put the value"));
}

TEST_F(Config, Secrets_NeverAppearInEntriesOrSentences) {
  const auto loaded = load_config(write(R"(
    [database]
    url = "postgresql://app:hunter2@db.example:5433/app?sslmode=require"
    [auth]
    jwt_secret = "hunter2,hunter3"
    api_keys = "hunter4=anon")"),
                                  {})
                          .value();
  for (const auto& e : loaded.entries) EXPECT_THAT(e.value, Not(HasSubstr("hunter"))) << e.key;
  EXPECT_THAT(entry(loaded, "database.url").value,
              AllOf(HasSubstr("user=app"), HasSubstr("password=***"), HasSubstr("port=5433")));
  EXPECT_EQ(entry(loaded, "auth.jwt_secret").value, "***,***");
  EXPECT_EQ(entry(loaded, "auth.api_keys").value, "***=anon");
  EXPECT_THAT(sentence("[auth]\njwt_secret = \"hunter1,hunter2,hunter3\""),
              Not(HasSubstr("hunter")));
  EXPECT_THAT(sentence("[database]\nurl = \"postgresql://app:hunter2@db:x:y/\""),
              Not(HasSubstr("hunter")));
}

TEST_F(Config, HasPassword_LooksIntoBothForms) {
  EXPECT_TRUE(has_password("postgresql://a:b@host/db"));
  EXPECT_TRUE(has_password("host=db password=b"));
  EXPECT_FALSE(has_password("postgresql://a@host/db"));
  EXPECT_FALSE(has_password(""));
}

struct bad_input {
  std::string content;
  std::string sentence;
};

TEST_F(Config, BadInput_IsOneSentenceWithLineAndRemedy) {
  const std::string duration = ", a whole number with ms, s, m, h or d";
  const std::vector<bad_input> table = {
      {"[server]\nlisen = \"x\"",
       "pgcast.toml:2: unknown key server.lisen; did you mean server.listen?"},
      {"listen = \"x\"", "pgcast.toml:1: unknown key listen; did you mean server.listen?"},
      {"[sever]\nthreads = 1",
       "pgcast.toml:2: unknown key sever.threads; did you mean server.threads?"},
      {"[log]\ncolour = 1",
       "pgcast.toml:2: unknown key log.colour; the keys of [log] are level, "
       "format"},
      {"[stats]\nwhatever_it_is = 1",
       "pgcast.toml:2: unknown key stats.whatever_it_is; the keys of [stats] are interval"},
      {"[mqtt]\nbroker = 1",
       "pgcast.toml:2: unknown key mqtt.broker; the sections are [database], "
       "[server], [auth], [outbox], [stats], [limits], [log]"},
      {"[server]\ndrain = 5",
       "pgcast.toml:2: server.drain = \"5\" is not accepted; it takes a duration from 0s to 10m" +
           duration},
      {"[server]\n\ndrain = \"5 seconds\"",
       "pgcast.toml:3: server.drain = \"5 seconds\" is not accepted; it takes a duration from 0s "
       "to 10m" +
           duration},
      {"[outbox]\nretention = \"10s\"",
       "pgcast.toml:2: outbox.retention = \"10s\" is not accepted; it takes a duration from 1m to "
       "8760h" +
           duration},
      {"[outbox]\nretention = \"60001ms\"",
       "pgcast.toml:2: outbox.retention = \"60001ms\" is not accepted; it takes a duration from 1m "
       "to 8760h" +
           duration},
      {"[server]\nthreads = 0",
       "pgcast.toml:2: server.threads = \"0\" is not accepted; it takes a "
       "whole number from 1 to 1024"},
      {"[server]\nthreads = -1",
       "pgcast.toml:2: server.threads = \"-1\" is not accepted; it takes "
       "a whole number from 1 to 1024"},
      {"[server]\nthreads = 1.5",
       "pgcast.toml:2: server.threads must be a text, a whole number or "
       "a list of texts: it takes a whole number from 1 to 1024"},
      {"[limits]\nqueue_bytes = \"1MB\"",
       "pgcast.toml:2: limits.queue_bytes = \"1MB\" is not accepted; it takes bytes from 16KiB to "
       "1GiB, a whole number, with KiB, MiB or GiB if you like"},
      {"[limits]\nmessage_bytes = \"99999999999999999999GiB\"",
       "pgcast.toml:2: limits.message_bytes = \"99999999999999999999GiB\" is not accepted; it "
       "takes "
       "bytes from 1KiB to 64MiB, a whole number, with KiB, MiB or GiB if you like"},
      {"[auth]\nmode = \"on\"",
       "pgcast.toml:2: auth.mode = \"on\" is not accepted; it takes rls or off"},
      {"[log]\nformat = \"xml\"",
       "pgcast.toml:2: log.format = \"xml\" is not accepted; it takes "
       "auto, text, json or journald"},
      {"[server]\nlisten = 4000",
       "pgcast.toml:2: server.listen = \"4000\" is not accepted; it takes IP:PORT such as "
       "127.0.0.1:4000 or [::1]:4000, localhost:PORT or unix:/path"},
      {"[server]\nallowed_origins = \"app.example\"",
       "pgcast.toml:2: server.allowed_origins = \"app.example\" is not accepted; it takes a comma "
       "list of origins such as https://app.example, or *"},
      {"[server]\ntrusted_proxies = \"10.0.0.0/33\"",
       "pgcast.toml:2: server.trusted_proxies = \"10.0.0.0/33\" is not accepted; it takes a comma "
       "list of IP addresses or networks such as 10.0.0.0/8"},
      {"[auth]\njwt_secret = \"a,b,c\"",
       "pgcast.toml:2: auth.jwt_secret is not accepted; it takes one secret, or two with a comma "
       "between them during a rotation"},
      {"[auth]\njwt_secret = \"a\"\njwt_secret_file = \"b\"",
       "pgcast.toml:3: auth.jwt_secret and auth.jwt_secret_file are both set; keep one of them"},
      {"[auth]\njwks = \"http://keys.example/set\"",
       "pgcast.toml:2: auth.jwks = \"http://keys.example/set\" is not accepted; it takes the path "
       "of "
       "a file, or an https:// URL without a password in it (http:// for a server on this "
       "machine)"},
      {"[auth]\nroles = \"\"", "auth.roles is empty; name at least one role"},
      {"[auth]\napi_keys = \"sb_x=boss\"",
       "auth.api_keys names the role \"boss\", which is not in auth.roles; add it there or use one "
       "of anon,authenticated,service_role"},
      {"[database]\nurl = \"mydb\"",
       "pgcast.toml:2: database.url is not accepted; it takes a libpq connection string such as "
       "\"host=db dbname=app\" or a URI postgresql://..."},
      {"[server]\nlisten = \"127.0.0.1:5\"\nadmin_listen = \"127.0.0.1:5\"",
       "server.listen and server.admin_listen are both 127.0.0.1:5; give them different addresses"},
      {"[limits]\nqueue_bytes = \"1024MiB\"",
       "limits.queue_bytes is larger than limits.queues_bytes; one client's queue must fit into "
       "what all may use"},
  };
  for (const auto& bad : table) EXPECT_EQ(sentence(bad.content), bad.sentence) << bad.content;
}

TEST_F(Config, BrokenToml_NamesItsLine) {
  EXPECT_THAT(sentence("[server]\nlisten = \n"), StartsWith("pgcast.toml:2: not valid TOML: "));
  EXPECT_THAT(sentence("[log]\nlevel = \"info\"\nlevel = \"warn\""),
              StartsWith("pgcast.toml:3: not valid TOML: "));
}

TEST_F(Config, MissingFile_IsAnErrorOnlyWhenNamed) {
  const auto loaded = load_config("/nowhere/pgcast.toml", {});
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().detail,
            "/nowhere/pgcast.toml cannot be read; give an existing, readable "
            "TOML file with --config");
  EXPECT_FALSE(load_config("/", {}));
}

TEST_F(Config, BadVariableAndFlag_AreNamedAsWritten) {
  set_variable("PGCAST_DRAIN", "soon");
  EXPECT_THAT(sentence(""), StartsWith("PGCAST_DRAIN = \"soon\" is not accepted; it takes"));
  const auto loaded = load_config(write(""), {{"log.level", "loud"}});
  ASSERT_FALSE(loaded);
  unsetenv("PGCAST_DRAIN");
  EXPECT_EQ(load_config(write(""), {{"log.level", "loud"}}).error().detail,
            "--log-level = \"loud\" is not accepted; it takes debug, info, warn or error");
}

TEST_F(Config, BadValueInFile_IsRefusedAlsoWhenOverridden) {
  set_variable("PGCAST_DRAIN", "1s");
  EXPECT_THAT(sentence("[server]\ndrain = 5"), StartsWith("pgcast.toml:2: server.drain"));
}

TEST_F(Config, KeySet_IsAFileOrATrustworthyUrl) {
  const auto is_taken = [&](const std::string& location) {
    const auto loaded = load_config(write("[auth]\njwks = \"" + location + "\""), {});
    EXPECT_TRUE(!loaded || loaded->values.jwks == location);
    return loaded.has_value();
  };
  for (const auto* good : {"/etc/pgcast/keys.json", "keys.json", "https://id.example/jwks?v=1",
                           "https://id.example:8443/certs", "http://localhost:9999/jwks",
                           "http://127.0.0.1:80/", "http://[::1]/jwks", ""}) {
    EXPECT_TRUE(is_taken(good)) << good;
  }
  for (const auto* bad :
       {"http://id.example/jwks", "http://127.0.0.1.example/", "http://localhost.example/",
        "http://localhost@id.example/", "http://[::1].example/", "HTTP://id.example/",
        "ftp://localhost/k", "https://", "https://user:word@id.example/", "file:///etc/keys.json",
        "https://id.example/a b"}) {
    EXPECT_FALSE(is_taken(bad)) << bad;
  }
}

TEST_F(Config, Serving_NeedsSecretOrLoopback) {
  config c = default_config();
  EXPECT_THAT(check_serving(c).error().detail, StartsWith("auth.jwt_secret is not set; put"));
  c.jwks = "/etc/keys.json";
  EXPECT_TRUE(check_serving(c)) << "public keys are enough";
  c.jwks = "";
  c.tokens.secrets = {"s"};
  EXPECT_TRUE(check_serving(c));
  c.mode = auth_mode::off;
  EXPECT_TRUE(check_serving(c));
  for (const auto& open : {"0.0.0.0:4000", "[::]:4000", "192.0.2.1:4000"}) {
    c.listen = open;
    EXPECT_THAT(check_serving(c).error().detail, HasSubstr("needs a loopback listener")) << open;
  }
  for (const auto& closed : {"127.0.0.9:0", "[::1]:4000", "unix:/run/pgcast.sock"}) {
    c.listen = closed;
    EXPECT_TRUE(check_serving(c)) << closed;
  }
}

TEST_F(Config, Listen_AcceptsOnlyWhatCanBeBound) {
  for (const auto& good : {"0.0.0.0:80", "[::]:0", "[fe80::1]:1", "localhost:65535", "unix:/a"}) {
    EXPECT_TRUE(parse_listen(good)) << good;
  }
  for (const auto& bad : {"", ":4000", "4000", "::1:4000", "127.0.0.1:65536", "127.0.0.1:", "unix:",
                          "unix:relative", "[127.0.0.1]:1", "host:1", "127.0.0.1:4x", "[::1]"}) {
    EXPECT_FALSE(parse_listen(bad)) << bad;
  }
  EXPECT_FALSE(parse_listen("unix:/" + std::string(107, 'a')));
}

TEST_F(Config, Duration_NeedsUnitAndDoesNotOverflow) {
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("1d"), 24h);
  for (const auto& bad : {"", "5", "s", "-1s", "1.5s", "1 s", "5S", "1h30m", "9223372036854775807d",
                          "99999999999999999999s"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

// ---- documents ----------------------------------------------------------------------------------

std::string document_line(const setting& s) {
  const auto defaults = default_config();
  std::string value = s.key == "server.threads" ? "number of cores" : s.format(defaults);
  value = value.empty() ? "none" : s.key == "server.threads" ? value : "`" + value + "`";
  std::string names = "`" + s.long_environment() + "`";
  if (!s.short_environment.empty()) names = "`" + s.short_environment + "`, " + names;
  return "| `" + s.key + "` | " + names + " | " + value + " | " + s.accepted + " | " + s.purpose +
         " |\n";
}

TEST_F(Config, Document_HasEveryKeyAsItIs) {
  const auto document = content_of("docs/config.md");
  for (const auto& s : settings()) EXPECT_THAT(document, HasSubstr(document_line(s)));
}

TEST_F(Config, Example_HasEveryKeyWithItsDefault) {
  const auto commented = content_of("deploy/example.toml");
  // A line "#key = value" is a setting; prose has a blank after the "#".
  const auto example = std::regex_replace(commented, std::regex("\n#(?=[a-z])"), "\n");
  const auto loaded = load_config(write(example), {});
  ASSERT_TRUE(loaded) << loaded.error().detail;
  const auto defaults = default_config();
  for (const auto& s : settings()) {
    const auto name = s.key.substr(s.key.find('.') + 1);
    EXPECT_THAT(commented, HasSubstr("\n#" + name + " = ")) << s.key;
    if (s.is_secret || s.key == "server.threads") continue;
    EXPECT_EQ(s.format(loaded->values), s.format(defaults)) << s.key;
  }
  EXPECT_TRUE(load_config(write(commented), {}));
}

}  // namespace
}  // namespace pgcast
