"""a script that cannot be imported, and has to be"""

down_revision = None


from no_such_library import NAME as revision  # noqa
