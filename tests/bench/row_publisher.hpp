#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

struct pg_conn;

/// Inserts chat messages, each in a transaction of its own, over one pipelined connection.
///
/// Never blocks after the constructor. Not thread-safe. A refused statement ends the program.
class row_publisher {
 public:
  /// Called once for each insert when the server has answered its commit, in order.
  using committed = std::function<void(std::uint64_t stamp)>;

  row_publisher(const std::string& conninfo, committed on_commit);
  ~row_publisher();
  row_publisher(const row_publisher&) = delete;
  row_publisher& operator=(const row_publisher&) = delete;

  /// Sends the row; `stamp` comes back with its commit.
  void insert(const std::string& session, const std::string& message, std::uint64_t stamp);
  /// Sends what waits and takes what has come.
  void pump();
  /// To wait on for input.
  int descriptor() const;

 private:
  pg_conn* connection_;
  committed on_commit_;
  std::deque<std::uint64_t> under_way_;
};
