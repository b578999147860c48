"""Groups of commands that suggest the nearest name for a mistyped one."""

import click


class SuggestingGroup(click.Group):
    """Suggests from the names that it lists, imported or not."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first argument.

        Raises:
            click.NoSuchCommand: There is none; the message suggests others.
        """
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None
