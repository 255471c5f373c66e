#!/usr/bin/env python3
"""Visitors of the shop: sends requests through nginx, from addresses that are reserved for documentation.

usage: load.py PORT REQUESTS SEED
"""
import http.client
import random
import sys

AGENTS = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; ExampleBot/1.2; +https://bot.example/about)",
    "curl/8.5.0",
]
PAGES = ["/", "/index.html", "/style.css", "/shop.js", "/logo.svg", "/about.html", "/returns.html"]
PROBES = ["/wp-login.php", "/.env", "/admin/", "/phpmyadmin/index.php", "/.git/config", "/favicon.ico", "/robots.txt", "/old/catalog.html"]
QUERIES = ["lamp", "oak", "desk", "blue", "rug", "sofa bed", "linen", "clock"]


def main():
    port, requests, seed = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    nets = ["192.0.2.", "198.51.100.", "203.0.113."]
    visitors = [(rng.choice(nets) + str(rng.randrange(1, 255)), rng.choice(AGENTS), f"u{rng.randrange(1000, 9999)}") for _ in range(60)]
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for i in range(requests):
        if i % 50 == 0:
            visitors[rng.randrange(len(visitors))] = (rng.choice(nets) + str(rng.randrange(1, 255)), rng.choice(AGENTS), f"u{rng.randrange(1000, 9999)}")
        address, agent, user = rng.choice(visitors)
        headers = {"X-Forwarded-For": address, "User-Agent": agent, "X-User": user}
        item = int(800 * rng.random() ** 2) + (1 if rng.random() < 0.97 else 800)
        pick, method, path = rng.random(), "GET", None
        if pick < 0.40:
            path = rng.choice(PAGES)
        elif pick < 0.62:
            path = f"/api/items/{item}"
        elif pick < 0.70:
            path = "/api/search?q=" + rng.choice(QUERIES).replace(" ", "%20") + f"&page={rng.randrange(1, 5)}"
        elif pick < 0.83:
            method, path = "POST", f"/api/cart/{item}"
        elif pick < 0.91:
            method, path = "POST", "/api/checkout"
        elif pick < 0.94:
            path = "/api/health"
        elif pick < 0.945:
            path = "/api/items/" + rng.choice(["x", "12a", "%27", "-"])
        else:
            path = rng.choice(PROBES)
        if path.startswith("/api") and rng.random() < 0.7:
            headers["Referer"] = f"https://shop.example/items/{item}"
        try:
            connection.request(method, path, body=b"{}" if method == "POST" else None, headers=headers)
            connection.getresponse().read()
        except (http.client.HTTPException, OSError):
            connection.close()
            connection = http.client.HTTPConnection("127.0.0.1", port)


if __name__ == "__main__":
    main()
