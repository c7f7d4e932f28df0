"""A committee of torch modules: loads its members, runs them on a device, compares them with the store, measures them.

May be added: another place that members are loaded from. The runtime (runtime/) runs the stages. Needs the extra
`torch`.
"""
