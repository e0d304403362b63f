// The one place where the code of Asio and Beast is compiled; everybody else sees declarations
// (BOOST_ASIO_SEPARATE_COMPILATION, BOOST_BEAST_SEPARATE_COMPILATION). The OpenSSL half is for
// commands that are clients (daemon/websocket_client.cpp); for the daemon TLS ends in a proxy.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
