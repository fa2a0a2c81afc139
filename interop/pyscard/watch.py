"""Prints a line for each of the `cards` or `readers` that comes or goes, with one of pyscard's monitors."""

import sys

from smartcard.CardMonitoring import CardMonitor, CardObserver
from smartcard.ReaderMonitoring import ReaderMonitor, ReaderObserver


def say(word, things):
    for thing in things:
        print(word, thing, flush=True)


class Cards(CardObserver):
    def update(self, observable, handlers):
        added, removed = handlers
        say("card came:", added)
        say("card went:", removed)


class Readers(ReaderObserver):
    def update(self, observable, handlers):
        added, removed = handlers
        say("reader came:", added)
        say("reader went:", removed)


if sys.argv[1] == "cards":
    CardMonitor().addObserver(Cards())
else:
    ReaderMonitor().addObserver(Readers())
sys.stdin.read()
