#pragma once

#include "daemon/config.hpp"
#include "protocol/error.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace pgcast {

// One function for each command; each returns the exit code of the process (sysexits(3)).

/// `pgcast install`: applies deploy/sql and relays `tables`, in one transaction.
struct install_options {
  std::vector<std::string> tables;  ///< schema.table, names quoted as in SQL where they need it
  bool is_dry_run = false;          ///< prints the SQL and connects to nothing
};
int run_install(const loaded_config& loaded, const install_options& options);

/// `pgcast uninstall`: removes what install made.
struct uninstall_options {
  bool is_dry_run = false;
};
int run_uninstall(const loaded_config& loaded, const uninstall_options& options);

/// `pgcast check`: one line a finding; 0, or 1 when one of them is a failure. A configuration that
/// could not be loaded is the first finding.
int run_check(const result<loaded_config>& loaded);

/// `pgcast token`: mints a token with the (first) secret.
struct token_options {
  std::string role;
  std::string sub;  ///< "" = none
  std::string ttl = "1h";
  std::vector<std::string> claims;  ///< k=v; v is JSON if it can be read as JSON, else a text
};
int run_token(const loaded_config& loaded, const token_options& options);

/// `pgcast tail`: follows a topic until Ctrl-C.
struct tail_options {
  std::string topic;           ///< without "realtime:"
  std::string url;             ///< "" = the listener of the configuration
  std::string token_file;      ///< "" = PGCAST_TOKEN, else minted with the configured secret
  bool is_json = false;        ///< JSON lines also in a terminal
  std::string color = "auto";  ///< auto, always, never
};
int run_tail(const loaded_config& loaded, const tail_options& options);

/// `pgcast compare`: watches another Realtime server and this one, and tells what each missed. 0
/// when this one missed nothing, else 1; 69 or 77 when one cannot be reached or refuses.
struct compare_options {
  std::string with;                 ///< the other server
  std::string url;                  ///< "" = the listener of the configuration
  std::vector<std::string> tables;  ///< schema.table; none = all of public
  std::string filter;               ///< of each table
  std::string time = "60s";
  std::string token_file;       ///< as of tail
  std::string with_token_file;  ///< "" = PGCAST_WITH_TOKEN
  bool is_json = false;
  bool resumes = false;  ///< this server, after a drop
};
int run_compare(const loaded_config& loaded, const compare_options& options);

/// `pgcast config`: every setting, its value and where it came from.
int run_config(const loaded_config& loaded);

/// The claims object of a token: role, iat, exp and whatever the options add. Fails with
/// payload_malformed and one sentence.
result<std::string> make_claims(const token_options& options, std::chrono::milliseconds ttl,
                                std::chrono::system_clock::time_point now);

/// The exit code that stands for `code`.
int exit_code(errc code);

/// Prints "pgcast: <sentence>" to the standard error; gives the exit code.
int report_failure(const error& failure);
int report_failure(int exit_code, const std::string& sentence);

}  // namespace pgcast
