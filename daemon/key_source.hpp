#pragma once

#include "protocol/json_web_key.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace pgcast {

/// Keeps the keys of auth.jwks fresh, on a thread of its own, which may block.
///
/// A file is looked at once a second and read when it has changed. A URL is fetched at start, every
/// five minutes (every ten seconds while it does not answer) and when somebody looks for a key that
/// is not there, at most once a minute for that. What cannot be used changes nothing: the keys of
/// before stay, and the log says why.
class key_source {
 public:
  using keys = std::shared_ptr<const json_web_key_set>;

  /// `location` "": there is nothing to look after. `publish` is called on the thread of the source
  /// with each new set.
  key_source(std::string location, std::function<void(keys)> publish);
  ~key_source();

  /// Publishes the first set, an empty one as long as a URL has not answered, and starts the
  /// thread. A file that cannot be used is a mistake of the set-up: config_invalid.
  result<void> start();

  /// Returns when it is certain whether there is a key called `kid`: it has been published, or is
  /// not to be found now. Takes as long as a fetch, 5 s at most. On any executor.
  boost::asio::awaitable<void> look_for(std::string kid);

 private:
  /// What tells one content of a file from another.
  struct file_state {
    std::int64_t modified_ns = 0;
    std::uint64_t inode = 0;
    std::int64_t bytes = -1;  ///< -1: there is no file
    bool operator==(const file_state&) const = default;
  };
  using clock = std::chrono::steady_clock;

  boost::asio::awaitable<void> watch();
  boost::asio::awaitable<void> look_again(std::string kid);
  file_state state_of_file() const;
  void refresh_file();
  void refresh();
  result<void> read();
  void publish(json_web_key_set set);

  std::string location_;
  std::function<void(keys)> publish_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  // Of the thread, once it runs.
  keys current_;
  std::string text_;  ///< that current_ was read from
  file_state seen_;
  bool is_failing_ = false;
  std::optional<clock::time_point> searched_at_;
  std::thread thread_;
};

}  // namespace pgcast
