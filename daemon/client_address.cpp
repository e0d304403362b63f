#include "daemon/client_address.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <cstring>

namespace pgcast {
namespace ip = boost::asio::ip;
namespace {

ip::address unmapped(const ip::address& a) {
  if (!a.is_v6() || !a.to_v6().is_v4_mapped()) return a;
  return ip::make_address_v4(ip::v4_mapped, a.to_v6());
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Some proxies write the port too: 203.0.113.7:4711, [2001:db8::1]:4711.
std::optional<ip::address> read_address(std::string_view text) {
  if (text.starts_with('[')) {
    text = text.substr(1, text.find(']') - 1);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    text = text.substr(0, text.find(':'));
  }
  boost::system::error_code failed;
  const auto a = ip::make_address(std::string{text}, failed);
  if (failed) return std::nullopt;
  return unmapped(a);
}

}  // namespace

trusted_networks::trusted_networks(std::span<const std::string> list) {
  for (const auto& one : list) {
    const bool is_network = one.find('/') != std::string::npos;
    const bool is_v6 = one.find(':') != std::string::npos;
    boost::system::error_code failed;
    if (is_v6) {
      const auto network = ip::make_network_v6(is_network ? one : one + "/128", failed);
      if (!failed) v6_.push_back(network);
    } else {
      const auto network = ip::make_network_v4(is_network ? one : one + "/32", failed);
      if (!failed) v4_.push_back(network);
    }
  }
}

bool trusted_networks::contains(const ip::address& a) const {
  const auto holds = [](const auto& networks, const auto& address, auto prefix_of) {
    return std::any_of(networks.begin(), networks.end(), [&](const auto& n) {
      return prefix_of(address, n.prefix_length()) == n.network();
    });
  };
  if (a.is_v4()) {
    return holds(v4_, a.to_v4(), [](const ip::address_v4& v, unsigned short length) {
      return ip::make_network_v4(v, length).network();
    });
  }
  return holds(v6_, a.to_v6(), [](const ip::address_v6& v, unsigned short length) {
    return ip::make_network_v6(v, length).network();
  });
}

std::optional<ip::address> peer_of(const boost::asio::generic::stream_protocol::socket& socket) {
  boost::system::error_code failed;
  const auto generic = socket.remote_endpoint(failed);
  if (failed || generic.protocol().family() == AF_UNIX) return std::nullopt;
  ip::tcp::endpoint peer;
  if (generic.size() > peer.capacity()) return std::nullopt;
  peer.resize(generic.size());
  std::memcpy(peer.data(), generic.data(), generic.size());
  return unmapped(peer.address());
}

ip::address client_address(const ip::address& peer, std::string_view forwarded,
                           const trusted_networks& trusted) {
  ip::address at = peer;
  while (!forwarded.empty() && trusted.contains(at)) {
    const auto comma = forwarded.rfind(',');
    const bool is_first = comma == std::string_view::npos;
    const auto before = read_address(trimmed(is_first ? forwarded : forwarded.substr(comma + 1)));
    if (!before) return at;
    at = *before;
    forwarded = is_first ? std::string_view{} : forwarded.substr(0, comma);
  }
  return at;
}

std::string counted_address(const ip::address& a) {
  if (a.is_loopback()) return {};
  if (a.is_v4()) return a.to_string();
  return ip::make_network_v6(a.to_v6(), 64).canonical().to_string();
}

}  // namespace pgcast
