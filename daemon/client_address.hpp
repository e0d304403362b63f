#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// Proxies whose X-Forwarded-For counts (server.trusted_proxies).
class trusted_networks {
 public:
  /// Addresses and networks (10.0.0.0/8); what is neither is left out, the configuration has
  /// refused it.
  explicit trusted_networks(std::span<const std::string> list);
  bool contains(const boost::asio::ip::address& a) const;

 private:
  std::vector<boost::asio::ip::network_v4> v4_;
  std::vector<boost::asio::ip::network_v6> v6_;
};

/// The other end of a TCP socket; nullopt for a Unix socket or one that is closed.
std::optional<boost::asio::ip::address> peer_of(
    const boost::asio::generic::stream_protocol::socket& socket);

/// Whose address counts: the peer's own, or, while that is a trusted proxy, the one before it in
/// `forwarded` (X-Forwarded-For: each proxy appends who it heard). What cannot be read ends the
/// walk. An IPv4 address that is mapped into IPv6 is the IPv4 address.
boost::asio::ip::address client_address(const boost::asio::ip::address& peer,
                                        std::string_view forwarded,
                                        const trusted_networks& trusted);

/// Under which name it is counted: the address, of IPv6 the /64 that one customer has. "" for
/// loopback, which is not counted.
std::string counted_address(const boost::asio::ip::address& a);

}  // namespace pgcast
