"""The search for adaptive policies: a posterior for every set of members, values by backward induction, prices swept.

May be added: another estimate of a posterior, or of the value of asking a member.
"""
