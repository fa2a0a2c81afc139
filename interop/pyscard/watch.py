"""Prints a line for each card and reader that comes or goes, with pyscard's monitors."""

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


CardMonitor().addObserver(Cards())
ReaderMonitor().addObserver(Readers())
sys.stdin.read()
