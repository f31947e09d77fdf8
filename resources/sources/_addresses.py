"""To which network addresses downloads may connect."""

import ipaddress
import socket

from automl_assets.core.errors import RequestError, ServiceError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def resolve(host: str, port: int, *, allow_private: bool) -> str:
    """Return the address to connect to; asked once, so that no later answer can differ.

    Args:
        host: Name or address, as in the URL.
        allow_private: Whether it may be inside the company, or this machine.

    Raises:
        RequestError: One of its addresses is not public.
        ServiceError: The name has no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ServiceError(
            f"The host of data.path must have an address. {host!r} has none: {error}. "
            "Check its spelling, or the network."
        ) from error
    addresses = [str(entry[4][0]) for entry in found]
    if not allow_private:
        for text in addresses:
            if not is_public(ipaddress.ip_address(text.partition("%")[0])):
                raise RequestError(
                    "Downloads come from public addresses. "
                    f"{host!r} has the private or reserved address {text}. "
                    "Have the operator set AUTOML_DATA_URL_PRIVATE if that is meant."
                )
    return addresses[0]


def is_public(address: IPAddress) -> bool:
    """Return whether an address is one of the public internet, also where it wraps another.

    Examples:
        >>> is_public(ipaddress.ip_address("8.8.8.8"))
        True
        >>> is_public(ipaddress.ip_address("::ffff:127.0.0.1"))
        False
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        # NAT64 (RFC 6052) and the old form of IPv4 in IPv6 carry an IPv4 address as well.
        if address in ipaddress.ip_network("64:ff9b::/96") or int(address) < 2**32:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if not all(is_public(item) for item in inner if item is not None):
            return False
        if address.ipv4_mapped is not None:
            return True
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )
